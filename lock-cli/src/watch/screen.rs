//! Drawing.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};
use tokio::time::Instant;

use super::changes::{Mark, Seen};
use super::view::View;
use crate::list::LEAST;
use crate::options::Column;
use crate::text;

const LEGEND: &str = "+ new  ~ other holder  ^ extended  - gone";
const HELP: &str = "q quit   sort by: k key  o owner  l left  f fence   r reverse   arrows select";

pub(crate) fn draw(frame: &mut Frame<'_>, view: &mut View) {
    let now = Instant::now();
    let [title, table, detail, footer] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(2),
        Constraint::Length(if view.selected.is_some() { 4 } else { 1 }),
        Constraint::Length(2),
    ])
    .areas(frame.area());
    frame.render_widget(title_of(view, now), title);
    draw_table(frame, table, view, now);
    frame.render_widget(detail_of(view, now), detail);
    let dim = Style::new().add_modifier(Modifier::DIM);
    let lines = [LEGEND, HELP].map(|line| Line::styled(line, dim));
    frame.render_widget(Paragraph::new(lines.to_vec()), footer);
}

fn title_of(view: &View, now: Instant) -> Paragraph<'static> {
    let held = view.changes.seen().filter(|seen| !seen.is_gone()).count();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let title = Line::from(vec![
        Span::styled(format!("{held} held"), bold),
        Span::raw(format!("  {}", view.title)),
    ]);
    let trouble = view.trouble.as_ref().map_or_else(Line::default, |trouble| {
        let age = view
            .changes
            .last()
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let text = format!("! {}s old: {trouble}", age.as_secs());
        Line::styled(text, colored(view, Color::Red).add_modifier(Modifier::BOLD))
    });
    Paragraph::new(vec![title, trouble])
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, view: &mut View, now: Instant) {
    let rows = view.rows();
    let selected = view.selected_row(&rows);
    let more = More {
        shares: rows.iter().any(|row| row.lock.servers.is_some()),
        waiting: rows.iter().any(|row| row.lock.waiting > Some(0)),
    };
    let widths = widths(&rows, area.width, more);
    let lines = rows.iter().map(|row| row_of(row, view, &widths, more, now));
    let header = header(view, more).style(Style::new().add_modifier(Modifier::BOLD));
    let constraints = widths.iter().map(|&width| Constraint::Length(width));
    let table = Table::new(lines, constraints)
        .header(header)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default()
        .with_offset(view.top)
        .with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
    view.top = state.offset();
}

/// Which columns are shown that not all locks have.
#[derive(Clone, Copy)]
struct More {
    shares: bool,
    waiting: bool,
}

/// Mark, key, owner, left, fence, how many wait, servers. What is left over goes to key and owner, which are cut
/// where they do not fit; the selected row has them whole below.
fn widths(rows: &[&Seen], width: u16, more: More) -> Vec<u16> {
    let longest = |of: &dyn Fn(&Seen) -> String, least: usize| {
        let longest = rows.iter().map(|row| of(row).chars().count()).max();
        u16::try_from(longest.unwrap_or(0).max(least)).unwrap_or(u16::MAX)
    };
    let beside: Vec<u16> = [(more.waiting, 4), (more.shares, 7)]
        .into_iter()
        .filter_map(|(is_shown, width)| is_shown.then_some(width))
        .collect();
    let gaps = beside.iter().map(|width| width + 1).sum::<u16>();
    let rest = |fence| width.saturating_sub(1 + 8 + fence + 4 + gaps);
    // Where they leave no room for key and owner, the number goes first.
    let fence = longest(&|row| text::fence(row.lock.fence), 7);
    let fence = if usize::from(rest(fence)) < LEAST {
        0
    } else {
        fence
    };
    let rest = rest(fence);
    let key = longest(&|row| text::plain(&row.lock.key), 5);
    let owner = longest(&|row| text::owner(&row.lock), 7);
    let owner = if key.saturating_add(owner) <= rest {
        owner
    } else {
        // A key says more: an owner gets less than half, unless the keys need no more.
        owner.min((rest * 2 / 5).max(rest.saturating_sub(key)))
    };
    let mut widths = vec![1, rest.saturating_sub(owner), owner, 8, fence];
    widths.extend(beside);
    widths
}

fn header(view: &View, more: More) -> Row<'static> {
    let name = |name: &str, column: Column| {
        if view.sort != column {
            return name.to_owned();
        }
        format!("{name} {}", if view.reverse { '▼' } else { '▲' })
    };
    let mut cells = vec![
        Cell::default(),
        Cell::from(name("KEY", Column::Key)),
        Cell::from(name("OWNER", Column::Owner)),
        right(name("LEFT", Column::Left)),
        right(name("FENCE", Column::Fence)),
    ];
    if more.waiting {
        cells.push(right("WAIT".into()));
    }
    if more.shares {
        cells.push(right("SERVERS".into()));
    }
    Row::new(cells)
}

fn row_of(seen: &Seen, view: &View, widths: &[u16], more: More, now: Instant) -> Row<'static> {
    let lock = &seen.lock;
    let mark = seen.mark(now);
    let left = if seen.is_gone() {
        "gone".to_owned()
    } else {
        text::left(seen.left(now))
    };
    let mut cells = vec![
        Cell::from(mark.map_or(" ", Mark::sign)),
        Cell::from(text::cut(&text::plain(&lock.key), widths[1].into())),
        Cell::from(text::cut(&text::owner(lock), widths[2].into())),
        right(left),
        right(text::fence(lock.fence)),
    ];
    if more.waiting {
        cells.push(right(text::waiting(lock.waiting)));
    }
    if more.shares {
        cells.push(right(lock.servers.map_or_else(|| "-".into(), text::share)));
    }
    let style = match mark {
        Some(Mark::New) => colored(view, Color::Green).add_modifier(Modifier::BOLD),
        Some(Mark::OtherHolder) => colored(view, Color::Yellow).add_modifier(Modifier::BOLD),
        Some(Mark::Extended) => colored(view, Color::Cyan),
        Some(Mark::Gone) => colored(view, Color::Red).add_modifier(Modifier::DIM),
        None => Style::new(),
    };
    Row::new(cells).style(style)
}

/// The selected lock, whole.
fn detail_of(view: &View, now: Instant) -> Paragraph<'static> {
    let rows = view.rows();
    let Some(seen) = view.selected_row(&rows).map(|row| rows[row]) else {
        return Paragraph::default();
    };
    let lock = &seen.lock;
    let state = match (seen.is_gone(), seen.mark(now)) {
        (true, _) => " (gone)",
        (_, Some(Mark::OtherHolder)) => " (took it just now)",
        _ => "",
    };
    let lines = vec![
        Line::default(),
        Line::from(format!("key   {}", text::plain(&lock.key))),
        Line::from(format!("owner {}{state}", text::owner(lock))),
        Line::from(format!("token {}", text::plain(&lock.token))),
    ];
    Paragraph::new(lines)
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn colored(view: &View, color: Color) -> Style {
    if view.color {
        Style::new().fg(color)
    } else {
        Style::new()
    }
}

#[cfg(test)]
mod tests;
