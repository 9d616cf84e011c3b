use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use tokio::time::Instant;

use super::draw;
use crate::lock::{Lock, Reading};
use crate::options::Column;
use crate::text::cut;
use crate::watch::changes::Changes;
use crate::watch::view::View;

fn lock(key: &str, owner: &str, left: u64, fence: Option<u64>) -> Lock {
    let value = format!("abcdefghij-_ABCDEFGHIJ;{owner}");
    let left = Some(Duration::from_secs(left));
    let reading = Reading::since(Instant::now());
    let lock = Lock::read(key.into(), value.as_bytes(), left, reading);
    Lock { fence, ..lock }
}

fn view(changes: Changes) -> View {
    View {
        title: "127.0.0.1:6379".into(),
        changes,
        sort: Column::Key,
        reverse: false,
        color: true,
        selected: None,
        trouble: None,
        top: 0,
    }
}

/// Two looks, one after the other, with each kind of change.
fn changed() -> View {
    let long = "tenant:4711:report:2026-11:customer-statement";
    let mut changes = Changes::default();
    // Shown in minutes, so that drawing a little late changes nothing.
    let earlier = Instant::now() - Duration::from_millis(1500);
    let first = vec![
        lock("gone", "web-1:812", 900, None),
        lock("invoice:1", "web-1:812", 9_000, None),
        lock("invoice:2", "web-2:812", 10_000, None),
    ];
    changes.see(first, earlier);
    let second = vec![
        lock("invoice:1", "web-1:812", 20_000, None),
        lock("invoice:2", "web-2:812", 9_999, None),
        lock(
            long,
            "worker-7f9c4d8b6-x2k9q:1",
            100_000,
            Some(1_838_449_824_914_102_272),
        ),
    ];
    changes.see(second, earlier + Duration::from_secs(1));
    view(changes)
}

fn screen(view: &mut View, width: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, 13)).expect("a screen");
    terminal.draw(|frame| draw(frame, view)).expect("drawn");
    terminal
}

fn lines(terminal: &Terminal<TestBackend>) -> Vec<String> {
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(buffer.area.width));
    let text = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect());
    text.map(|line: String| line.trim_end().to_owned())
        .collect()
}

fn press(view: &mut View, code: KeyCode) -> bool {
    view.press(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn at_80_columns_everything_can_be_read() {
    let mut view = changed();
    assert_eq!(
        lines(&screen(&mut view, 80)),
        [
            "3 held  127.0.0.1:6379",
            "",
            "  KEY ▲                         OWNER                   LEFT               FENCE",
            "- gone                          web-1:812               gone                   -",
            "^ invoice:1                     web-1:812              5h33m                   -",
            "  invoice:2                     web-2:812              2h46m                   -",
            "+ tenant:4711:re…omer-statement worker-7f…6-x2k9q:1    1d03h 1838449824914102272",
            "",
            "",
            "",
            "",
            "+ new  ~ other holder  ^ extended  - gone",
            "q quit   sort by: k key  o owner  l left  f fence   r reverse   arrows select",
        ]
    );
}

#[test]
fn how_many_wait_is_a_column_while_somebody_does() {
    let mut changes = Changes::default();
    let lock = lock("k", "web-1:812", 900, None);
    let waiting = Some(3);
    changes.see(vec![Lock { waiting, ..lock }], Instant::now());
    let shown = lines(&screen(&mut view(changes), 60));
    let columns = [
        shown[2].ends_with("FENCE WAIT"),
        shown[3].ends_with("-    3"),
    ];
    assert_eq!(columns, [true, true], "{shown:#?}");
}

#[test]
fn colour_is_not_needed_and_not_used_when_it_is_not_wanted() {
    let mut view = changed();
    let has_color = |view: &mut View| {
        let terminal = screen(view, 80);
        let cells = terminal.backend().buffer().content();
        cells.iter().any(|cell| cell.fg != Color::Reset)
    };
    assert!(has_color(&mut view));
    view.color = false;
    assert!(!has_color(&mut view));
}

#[test]
fn a_selected_lock_is_shown_whole_and_stays_selected_when_the_order_changes() {
    let mut view = changed();
    press(&mut view, KeyCode::End);
    let owner = "owner worker-7f9c4d8b6-x2k9q:1";
    assert!(lines(&screen(&mut view, 80)).contains(&owner.to_owned()));
    press(&mut view, KeyCode::Char('f'));
    let shown = lines(&screen(&mut view, 80));
    assert!(shown.contains(&owner.to_owned()), "{shown:#?}");
    assert!(shown[3].starts_with("+ tenant"), "{shown:#?}");
    press(&mut view, KeyCode::Char('f'));
    let shown = lines(&screen(&mut view, 80));
    assert!(shown[6].starts_with("+ tenant"), "{shown:#?}");
    press(&mut view, KeyCode::Esc);
    assert!(!lines(&screen(&mut view, 80)).contains(&owner.to_owned()));
}

#[test]
fn servers_that_do_not_answer_are_told_of_beside_what_was_seen_last() {
    let mut view = changed();
    view.trouble = Some("127.0.0.1:6379 could not be asked".into());
    let shown = lines(&screen(&mut view, 80));
    assert_eq!(shown[1], "! 0s old: 127.0.0.1:6379 could not be asked");
    assert!(shown[5].contains("invoice:2"));
}

#[test]
fn at_40_columns_the_number_goes_first() {
    let shown = lines(&screen(&mut changed(), 40));
    let has = |line: usize, part: &str| assert!(shown[line].contains(part), "{shown:#?}");
    has(4, "invoice:1");
    has(4, "web-1:812");
    has(4, "5h33m");
    has(6, "tenan");
    assert!(!shown.concat().contains("18384498"), "{shown:#?}");
    assert!(!shown[2].contains("FENCE"), "{shown:#?}");
}

#[test]
fn narrow_and_tiny_screens_do_no_harm() {
    for width in [1, 20, 40, 200] {
        screen(&mut changed(), width);
    }
    let mut terminal = Terminal::new(TestBackend::new(3, 2)).expect("a screen");
    let mut view = changed();
    terminal
        .draw(|frame| draw(frame, &mut view))
        .expect("drawn");
}

#[test]
fn q_quits() {
    let mut view = changed();
    assert!(press(&mut view, KeyCode::Char('x')));
    assert!(!press(&mut view, KeyCode::Char('q')));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(!view.press(control_c));
}

#[test]
fn a_long_name_keeps_both_ends() {
    assert_eq!(cut("report:42", 20), "report:42");
    assert_eq!(cut("report:1234567890:daily", 9), "repo…aily");
    assert_eq!(cut("größenwahn", 4), "gr…n");
    assert_eq!(cut("ab", 1), "…");
}
