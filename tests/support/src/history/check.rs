//! Judging a history.

use std::collections::BTreeMap;

/// How a section holds its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Alone.
    #[default]
    Exclusive,
    /// As one of so many.
    Permit(usize),
    /// Together with all others that are shared.
    Shared,
}

impl Kind {
    /// Whether sections of these kinds may overlap.
    fn stands_beside(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Permit(_), Self::Permit(_)) | (Self::Shared, Self::Shared)
        )
    }

    fn read(word: Option<&str>) -> Option<Self> {
        match word {
            None => Some(Self::Exclusive),
            Some("s") => Some(Self::Shared),
            Some(word) => Some(Self::Permit(word.strip_prefix('p')?.parse().ok()?)),
        }
    }

    /// As it stands at the end of a line.
    pub(super) fn written(self) -> String {
        match self {
            Self::Exclusive => String::new(),
            Self::Permit(number) => format!(" p{number}"),
            Self::Shared => " s".to_owned(),
        }
    }
}

/// A critical section: what one holder did under one tenure of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The key that was locked.
    pub key: String,
    /// How it was.
    pub kind: Kind,
    /// The fencing token.
    pub fence: u64,
    /// Who held the lock.
    pub holder: String,
    /// When it began.
    pub begin: u64,
    /// When it ended; none if its process was killed.
    pub end: Option<u64>,
    /// Until when the lock was surely held, as far as the holder recorded it.
    pub deadline: u64,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A line that is none of a history, by its number.
    Malformed(usize, String),
    /// A section began while an earlier one was under way and its deadline lay ahead.
    Overlap(Section, Section),
    /// When this section began, there were more under way than this number of permits, which none of them
    /// exceeds.
    TooMany(usize, Section),
    /// A section began after another on the same key that it excludes, and its fencing token is not greater.
    FenceNotIncreasing(Section, Section),
}

/// What is in a history without a violation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many sections there are.
    pub sections: usize,
    /// How many of them had a permit.
    pub permits: usize,
    /// How many of them were shared.
    pub shared: usize,
    /// How many of them have no end.
    pub unfinished: usize,
    /// How many ended after their deadline: their process stood still at the deadline, or nobody
    /// cut them off.
    pub late_ends: usize,
    /// How many began while others on the same key were under way, as permits and shared ones may.
    pub beside_others: usize,
    /// How many began when their deadline had passed: their process stood still between the last
    /// look at the deadline and the begin, or nobody looked.
    pub late_begins: usize,
}

impl Summary {
    /// How many sections there are of the kind that has the fewest.
    #[must_use]
    pub fn fewest_of_a_kind(&self) -> usize {
        let exclusive = self.sections - self.permits - self.shared;
        exclusive.min(self.permits).min(self.shared)
    }
}

impl Section {
    /// From here on, others may hold the key.
    fn bound(&self) -> u64 {
        self.end.unwrap_or(u64::MAX).min(self.deadline)
    }

    fn began_late(&self) -> bool {
        self.begin >= self.deadline
    }
}

/// Checks the lines of a history.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(history: &str) -> Result<Summary, Vec<Violation>> {
    let (mut sections, mut violations) = parse(history);
    sections.sort_by_key(|section| (section.begin, section.fence));
    let count = |is: fn(&Section) -> bool| sections.iter().filter(|section| is(section)).count();
    let mut summary = Summary {
        sections: sections.len(),
        permits: count(|section| matches!(section.kind, Kind::Permit(_))),
        shared: count(|section| section.kind == Kind::Shared),
        unfinished: count(|section| section.end.is_none()),
        late_ends: count(|section| section.end.is_some_and(|end| end > section.deadline)),
        beside_others: 0,
        late_begins: count(Section::began_late),
    };
    let mut by_key: BTreeMap<&str, Vec<&Section>> = BTreeMap::new();
    // A late begin is the doing of a process that stood still: nothing can keep it from recording
    // its begin when others have long had the key. The summary counts them.
    for section in sections.iter().filter(|section| !section.began_late()) {
        by_key.entry(&section.key).or_default().push(section);
    }
    for sections in by_key.values() {
        violations.extend(overlaps(sections, &mut summary.beside_others));
        violations.extend(fences_out_of_order(sections));
    }
    if violations.is_empty() {
        Ok(summary)
    } else {
        Err(violations)
    }
}

/// Compares each section with the earlier ones that are under way when it begins; of those that it
/// excludes, with the one whose bound is the latest.
fn overlaps(sections: &[&Section], beside_others: &mut usize) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut under_way: Vec<&Section> = Vec::new();
    for &section in sections {
        under_way.retain(|earlier| section.begin < earlier.bound());
        let excluded = under_way.iter();
        let excluded = excluded.filter(|earlier| !earlier.kind.stands_beside(section.kind));
        if let Some(earlier) = excluded.max_by_key(|earlier| earlier.bound()) {
            violations.push(Violation::Overlap((*earlier).clone(), section.clone()));
        }
        *beside_others += usize::from(!under_way.is_empty());
        under_way.push(section);
        if let Some(number) = exceeded(&under_way) {
            violations.push(Violation::TooMany(number, section.clone()));
        }
    }
    violations
}

/// The number of which more are under way that asked for it, or for a smaller one.
///
/// Each looked at its own number when it was let in, but not when it began: one that was let in later,
/// for a greater number, may have begun before it. Whoever was let in last of those with a number up to
/// this one found fewer of them than that, though.
fn exceeded(under_way: &[&Section]) -> Option<usize> {
    let numbers = || {
        under_way.iter().filter_map(|section| match section.kind {
            Kind::Permit(number) => Some(number),
            Kind::Exclusive | Kind::Shared => None,
        })
    };
    numbers().find(|number| numbers().filter(|other| other <= number).count() > *number)
}

/// Compares each section with that of the earlier ones that it excludes whose fencing token is the
/// greatest.
fn fences_out_of_order(sections: &[&Section]) -> Vec<Violation> {
    let mut violations = Vec::new();
    // All permits are alike here.
    let alike = |kind| match kind {
        Kind::Permit(_) => Kind::Permit(0),
        kind => kind,
    };
    let mut greatest: BTreeMap<Kind, &Section> = BTreeMap::new();
    for &section in sections {
        let excluded = greatest.values();
        let excluded = excluded.filter(|earlier| !earlier.kind.stands_beside(section.kind));
        let greater = excluded.max_by_key(|earlier| earlier.fence);
        if let Some(earlier) = greater.filter(|earlier| section.fence <= earlier.fence) {
            violations.push(Violation::FenceNotIncreasing(
                (*earlier).clone(),
                section.clone(),
            ));
        }
        let known = greatest.entry(alike(section.kind)).or_insert(section);
        if section.fence > known.fence {
            *known = section;
        }
    }
    violations
}

fn parse(history: &str) -> (Vec<Section>, Vec<Violation>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut violations = Vec::new();
    for (number, line) in history.lines().enumerate() {
        if read(line, &mut sections).is_none() {
            violations.push(Violation::Malformed(number + 1, line.to_owned()));
        }
    }
    (sections, violations)
}

fn read(line: &str, sections: &mut Vec<Section>) -> Option<()> {
    let mut words = line.split(' ');
    let event = words.next()?;
    let key = words.next()?;
    let fence = words.next()?.parse().ok()?;
    let holder = words.next()?;
    let time = words.next()?.parse().ok()?;
    if event == "came" {
        // It is for those who judge the order.
        return words.next().filter(|_| words.next().is_none()).map(drop);
    }
    let deadline = words.next().map(str::parse::<u64>).transpose().ok()?;
    let kind = words.next();
    if words.next().is_some() || kind.is_some() && event != "begin" {
        return None;
    }
    if event == "begin" {
        sections.push(Section {
            key: key.to_owned(),
            kind: Kind::read(kind)?,
            fence,
            holder: holder.to_owned(),
            begin: time,
            end: None,
            deadline: deadline?,
        });
        return Some(());
    }
    let is_open = |section: &&mut Section| {
        section.key == key
            && section.fence == fence
            && section.holder == holder
            && section.end.is_none()
    };
    let section = sections.iter_mut().rev().find(is_open)?;
    if time < section.begin {
        return None;
    }
    match event {
        "extend" => section.deadline = section.deadline.max(deadline?),
        "end" => {
            section.end = Some(time);
            section.deadline = section.deadline.max(deadline.unwrap_or(0));
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Summary, Violation, check};

    fn clean(history: &str) -> Summary {
        check(history).expect("nothing is wrong with it")
    }

    /// The one violation, as the holders that it names.
    fn wrong(history: &str) -> (&'static str, String, String) {
        let violations = check(history).expect_err("something is wrong with it");
        match &violations[..] {
            [Violation::Overlap(a, b)] => ("overlap", a.holder.clone(), b.holder.clone()),
            [Violation::FenceNotIncreasing(a, b)] => ("fence", a.holder.clone(), b.holder.clone()),
            [Violation::TooMany(count, a)] => ("too many", count.to_string(), a.holder.clone()),
            [Violation::Malformed(number, line)] => ("malformed", number.to_string(), line.clone()),
            several => panic!("{several:#?}"),
        }
    }

    fn named(kind: &'static str, first: &str, second: &str) -> (&'static str, String, String) {
        (kind, first.to_owned(), second.to_owned())
    }

    #[test]
    fn nothing_is_wrong_with_an_empty_history() {
        assert_eq!(clean(""), Summary::default());
    }

    #[test]
    fn one_after_the_other_is_fine_in_whatever_order_it_was_written() {
        let history = "begin k 2 b 20 120\n\
                       begin k 1 a 0 100\n\
                       end k 1 a 10\n\
                       end k 2 b 30\n";
        assert_eq!(clean(history).sections, 2);
    }

    #[test]
    fn keys_have_nothing_to_do_with_one_another() {
        clean("begin k 7 a 0 100\nbegin other 3 b 10 110\nend k 7 a 50\nend other 3 b 60\n");
    }

    #[test]
    fn one_may_begin_when_the_other_ends() {
        clean("begin k 1 a 0 100\nend k 1 a 10\nbegin k 2 b 10 110\nend k 2 b 20\n");
    }

    #[test]
    fn a_killed_process_excludes_others_until_its_deadline_only() {
        let killed = "begin k 1 a 0 100\n";
        assert_eq!(
            clean(&format!("{killed}begin k 2 b 100 200\n")).unfinished,
            2
        );
        let early = format!("{killed}begin k 2 b 99 200\nend k 2 b 150\n");
        assert_eq!(wrong(&early), named("overlap", "a", "b"));
    }

    #[test]
    fn a_killed_process_excludes_others_until_its_last_deadline() {
        let extended = "begin k 1 a 0 100\nextend k 1 a 50 150\n";
        clean(&format!("{extended}begin k 2 b 150 250\n"));
        let early = format!("{extended}begin k 2 b 120 220\n");
        assert_eq!(wrong(&early), named("overlap", "a", "b"));
    }

    #[test]
    fn an_extension_never_takes_time_away() {
        let shortened = "begin k 1 a 0 100\nextend k 1 a 10 50\nbegin k 2 b 60 160\n";
        assert_eq!(wrong(shortened), named("overlap", "a", "b"));
    }

    #[test]
    fn two_at_a_time_are_an_overlap() {
        let history = "begin k 1 a 0 100\nbegin k 2 b 10 110\nend k 1 a 20\nend k 2 b 30\n";
        assert_eq!(wrong(history), named("overlap", "a", "b"));
    }

    #[test]
    fn a_short_section_in_between_hides_no_overlap() {
        let history = "begin k 1 a 0 100\nend k 1 a 90\n\
                       begin k 2 b 10 20\nend k 2 b 15\n\
                       begin k 3 c 50 150\nend k 3 c 60\n";
        let violations = check(history).expect_err("two overlaps");
        let holders: Vec<_> = violations
            .iter()
            .map(|violation| match violation {
                Violation::Overlap(a, b) => (a.holder.as_str(), b.holder.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(holders, [("a", "b"), ("a", "c")]);
    }

    #[test]
    fn an_end_after_the_deadline_is_counted_and_excludes_nobody() {
        let history = "begin k 1 a 0 100\nbegin k 2 b 110 210\nend k 2 b 120\nend k 1 a 130\n";
        let summary = clean(history);
        assert_eq!((summary.late_ends, summary.late_begins), (1, 0));
    }

    #[test]
    fn a_begin_after_the_deadline_is_counted_and_excludes_nobody() {
        let history = "begin k 2 b 110 210\nbegin k 1 a 120 100\nend k 1 a 121\nend k 2 b 150\n";
        let summary = clean(history);
        assert_eq!((summary.late_ends, summary.late_begins), (1, 1));
    }

    #[test]
    fn fencing_tokens_that_fall_or_repeat_are_out_of_order() {
        for fence in [4, 5] {
            let history = format!(
                "begin k 5 a 0 100\nend k 5 a 10\nbegin k {fence} b 20 120\nend k {fence} b 30\n"
            );
            assert_eq!(wrong(&history), named("fence", "a", "b"));
        }
    }

    #[test]
    fn a_fencing_token_is_compared_with_all_before_it() {
        let history = "begin k 5 a 0 9\nend k 5 a 1\n\
                       begin k 3 b 10 19\nend k 3 b 11\n\
                       begin k 4 c 20 29\nend k 4 c 21\n";
        assert_eq!(check(history).expect_err("3 and 4 after 5").len(), 2);
    }

    #[test]
    fn so_many_may_have_a_permit_and_each_looks_at_its_own_number() {
        let two = "begin k 1 a 0 100 p2\nbegin k 2 b 10 110 p2\n";
        let summary = clean(two);
        assert_eq!((summary.beside_others, summary.permits), (1, 2));
        clean(&format!(
            "{two}begin k 3 c 20 120 p3\nbegin k 4 d 100 120 p3\n"
        ));
        clean(&format!("{two}end k 1 a 15\nbegin k 3 c 20 120 p2\n"));
        let third = format!("{two}begin k 3 c 20 120 p2\n");
        assert_eq!(wrong(&third), named("too many", "2", "c"));
        // The last of these may have been let in before the one in front of it.
        let fourth = format!("{two}begin k 3 c 20 120 p9\nbegin k 4 d 30 120 p3\n");
        clean(&fourth);
        let fifth = format!("{fourth}begin k 5 e 40 120 p3\n");
        assert_eq!(wrong(&fifth), named("too many", "3", "e"));
    }

    #[test]
    fn kinds_never_overlap() {
        let three = "begin k 1 a 0 100 s\nbegin k 2 b 10 110 s\nbegin k 3 c 20 120 s\n";
        assert_eq!(clean(three).shared, 3);
        for (one, other) in [
            (" s", " p9"),
            (" p9", " s"),
            (" s", ""),
            ("", " s"),
            (" p9", ""),
            ("", " p9"),
        ] {
            let history = format!("begin k 1 a 0 100{one}\nbegin k 2 b 10 110{other}\n");
            assert_eq!(wrong(&history), named("overlap", "a", "b"));
            clean(&history.replace("b 10", "b 100"));
        }
    }

    #[test]
    fn numbers_are_in_order_only_between_those_who_exclude_each_other() {
        clean("begin k 5 a 0 100 p2\nbegin k 3 b 10 110 p2\n");
        clean("begin k 5 a 0 100 s\nbegin k 3 b 10 110 s\nbegin k 6 c 120 200\n");
        let behind = "begin k 5 a 0 9 s\nbegin k 3 b 1 9 s\nbegin k 4 c 20 29\n";
        assert_eq!(wrong(behind), named("fence", "a", "c"));
        let before = "begin k 5 a 0 9\nbegin k 5 b 10 19 p2\n";
        assert_eq!(wrong(before), named("fence", "a", "b"));
    }

    #[test]
    fn lines_that_make_no_sense_are_found() {
        let lines = [
            "",
            "begin k 1 a 0",
            "begin k 1 a 0 100 7",
            "begin k 1 a 0 100 p",
            "begin k 1 a 0 100 s s",
            "extend k 1 a 0 100 s",
            "begin k one a 0 100",
            "begin k 1 a 0 1o0",
            "middle k 1 a 0 100",
            "extend k 1 a 10 100",
            "end k 1 a 10",
            "end",
        ];
        for line in lines {
            let history = format!("begin other 1 z 0 100\n{line}\n");
            assert_eq!(wrong(&history), named("malformed", "2", line));
        }
    }

    #[test]
    fn a_section_ends_once_and_not_before_it_began() {
        let section = "begin k 1 a 50 150\n";
        let early = format!("{section}end k 1 a 40\n");
        assert_eq!(wrong(&early), named("malformed", "2", "end k 1 a 40"));
        let twice = format!("{section}end k 1 a 60\nend k 1 a 70\n");
        assert_eq!(wrong(&twice), named("malformed", "3", "end k 1 a 70"));
    }
}
