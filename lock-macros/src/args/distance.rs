//! How alike two words are.

/// How many letters to insert, delete, replace, or swap with the next, to make one word of the other.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
                let swapped = i > 1 && j > 1 && one[i - 2..i] == [other[j - 1], other[j - 2]];
                let swapped = if swapped {
                    rows[i - 2][j - 2] + 1
                } else {
                    replaced
                };
                let shifted = rows[i - 1][j].min(rows[i][j - 1]) + 1;
                replaced.min(swapped).min(shifted)
            };
        }
    }
    rows[one.len()][other.len()]
}
