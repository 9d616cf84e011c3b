//! Columns that are as wide as what is in them.

/// Rows under a header, for `list`. The columns named are flush right.
pub(crate) fn table(header: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let mut widths = vec![0; header.len()];
    for row in std::iter::once(&header).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(at, (cell, &width))| {
            if right.contains(&at) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_fit_and_lines_have_no_tail() {
        let rows = [
            vec!["a".into(), "10".into()],
            vec!["long".into(), "1".into()],
        ];
        assert_eq!(
            table(&["KEY", "N"], &[1], &rows),
            "KEY    N\na     10\nlong   1\n"
        );
    }
}
