//! What is on the screen: the locks in order, which one is selected, and how that is changed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tokio::time::Instant;

use super::changes::{Changes, Seen};
use crate::list::compare;
use crate::lock::{Id, Lock};
use crate::options::{Column, Watch};

pub(crate) struct View {
    pub(crate) title: String,
    pub(crate) changes: Changes,
    pub(crate) sort: Column,
    pub(crate) reverse: bool,
    pub(crate) color: bool,
    /// The lock that is selected: it stays so when rows move.
    pub(crate) selected: Option<Id>,
    /// Why the last look failed, if it did.
    pub(crate) trouble: Option<String>,
    /// The row at the top of the screen.
    pub(crate) top: usize,
}

impl View {
    pub(crate) fn new(options: &Watch, title: String, first: Vec<Lock>) -> Self {
        let mut changes = Changes::default();
        changes.see(first, Instant::now());
        let silent = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            title,
            changes,
            sort: options.choice.sort,
            reverse: options.choice.reverse,
            color: !options.no_color && !silent,
            selected: None,
            trouble: None,
            top: 0,
        }
    }

    pub(crate) fn rows(&self) -> Vec<&Seen> {
        let mut rows: Vec<_> = self.changes.seen().collect();
        rows.sort_by(|a, b| compare(&a.lock, &b.lock, self.sort));
        if self.reverse {
            rows.reverse();
        }
        rows
    }

    pub(crate) fn selected_row(&self, rows: &[&Seen]) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        rows.iter().position(|row| row.lock.id() == *selected)
    }

    /// Does what the key says; false when it says to quit.
    pub(crate) fn press(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return false,
            KeyCode::Char('q') => return false,
            KeyCode::Esc => self.selected = None,
            KeyCode::Char('k') => self.sort_by(Column::Key),
            KeyCode::Char('o') => self.sort_by(Column::Owner),
            KeyCode::Char('l') => self.sort_by(Column::Left),
            KeyCode::Char('f') => self.sort_by(Column::Fence),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Down => self.select(1),
            KeyCode::Up => self.select(-1),
            KeyCode::PageDown => self.select(10),
            KeyCode::PageUp => self.select(-10),
            KeyCode::Home => self.select(isize::MIN),
            KeyCode::End => self.select(isize::MAX),
            _ => {}
        }
        true
    }

    /// The same column again turns the order around.
    fn sort_by(&mut self, column: Column) {
        self.reverse = self.sort == column && !self.reverse;
        self.sort = column;
    }

    fn select(&mut self, by: isize) {
        let rows = self.rows();
        let last = rows.len().saturating_sub(1);
        let row = match self.selected_row(&rows) {
            Some(row) => row.saturating_add_signed(by).min(last),
            None if by == isize::MAX => last,
            None => 0,
        };
        self.selected = rows.get(row).map(|row| row.lock.id());
    }
}
