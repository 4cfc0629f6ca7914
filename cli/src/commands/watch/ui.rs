//! What the keys have set: which pane, how far down, which rows.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A longer filter matches nothing anyway.
const MAX_FILTER: usize = 64;

/// The panes, from top to bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Orders,
    Drivers,
    Log,
}

/// Where a reader is in a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// How many rows are above the first one shown.
    pub(super) offset: usize,
    /// How many rows fit, as last drawn.
    height: usize,
}

/// What the keys have set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ui {
    pub(super) pane: Pane,
    pub(super) orders: Scroll,
    pub(super) drivers: Scroll,
    pub(super) log: Scroll,
    /// Only rows with this text are shown; empty: all.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    /// Finished orders are shown as well.
    pub(super) finished: bool,
    pub(super) help: bool,
}

/// Whether the board goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    Quit,
}

impl Ui {
    /// Takes in a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Flow {
        if key.kind == KeyEventKind::Release {
            return Flow::Go;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Flow::Quit } else { Flow::Go };
        }
        if self.typing {
            self.type_filter(key.code);
            return Flow::Go;
        }
        if self.help {
            // Whatever is pressed, the help has been read.
            self.help = false;
            return if key.code == KeyCode::Char('q') { Flow::Quit } else { Flow::Go };
        }
        match key.code {
            // What was looked for is given up before the board is.
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return Flow::Quit,
            KeyCode::Tab => self.pane = self.pane.next(),
            KeyCode::BackTab => self.pane = self.pane.next().next(),
            KeyCode::Down | KeyCode::Char('j') => self.scroll(|at| at.offset.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(|at| at.offset.saturating_sub(1)),
            KeyCode::PageDown => self.scroll(|at| at.offset.saturating_add(at.height.max(1))),
            KeyCode::PageUp => self.scroll(|at| at.offset.saturating_sub(at.height.max(1))),
            KeyCode::Home => self.scroll(|_| 0),
            KeyCode::End => self.scroll(|_| usize::MAX),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('d') => self.finished = !self.finished,
            KeyCode::Char('?') => self.help = true,
            _ => {}
        }
        Flow::Go
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if self.filter.chars().count() < MAX_FILTER => self.filter.push(c),
            _ => {}
        }
    }

    fn scroll(&mut self, to: impl Fn(Scroll) -> usize) {
        let scroll = match self.pane {
            Pane::Orders => &mut self.orders,
            Pane::Drivers => &mut self.drivers,
            Pane::Log => &mut self.log,
        };
        scroll.offset = to(*scroll);
    }

    /// Whether a row with these cells is wanted.
    pub(super) fn wants(&self, cells: &[String]) -> bool {
        self.filter.is_empty() || cells.join(" ").to_lowercase().contains(&self.filter.to_lowercase())
    }
}

impl Pane {
    fn next(self) -> Self {
        match self {
            Self::Orders => Self::Drivers,
            Self::Drivers => Self::Log,
            Self::Log => Self::Orders,
        }
    }
}

impl Scroll {
    /// Fits it to so many rows of which so many can be shown: the last page is full.
    pub(super) fn fit(&mut self, rows: usize, height: usize) {
        self.height = height;
        self.offset = self.offset.min(rows.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(ui: &mut Ui, code: KeyCode) -> Flow {
        ui.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        assert_eq!(press(&mut Ui::default(), KeyCode::Char('q')), Flow::Quit);
        assert_eq!(press(&mut Ui::default(), KeyCode::Esc), Flow::Quit);
        let mut typing = Ui { typing: true, ..Ui::default() };
        assert_eq!(typing.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Flow::Quit);
        assert_eq!(press(&mut Ui::default(), KeyCode::Char('c')), Flow::Go);
    }

    #[test]
    fn a_filter_is_typed_kept_and_given_up_before_the_board_is() {
        let mut ui = Ui::default();
        for code in [KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Char('x'), KeyCode::Backspace, KeyCode::Enter] {
            assert_eq!(press(&mut ui, code), Flow::Go);
        }
        assert_eq!((ui.filter.as_str(), ui.typing), ("q", false));
        assert!(ui.wants(&["o-1".to_owned(), "Queen St".to_owned()]) && !ui.wants(&["o-1".to_owned()]));
        assert_eq!(press(&mut ui, KeyCode::Esc), Flow::Go);
        assert_eq!(ui, Ui::default());
    }

    #[test]
    fn each_pane_scrolls_by_itself_and_never_past_its_end() {
        let mut ui = Ui::default();
        ui.orders.fit(30, 10);
        press(&mut ui, KeyCode::PageDown);
        press(&mut ui, KeyCode::Down);
        assert_eq!(ui.orders.offset, 11);
        press(&mut ui, KeyCode::Tab);
        press(&mut ui, KeyCode::Char('j'));
        assert_eq!((ui.orders.offset, ui.drivers.offset), (11, 1));
        press(&mut ui, KeyCode::BackTab);
        press(&mut ui, KeyCode::End);
        ui.orders.fit(30, 10);
        assert_eq!(ui.orders.offset, 20);
        press(&mut ui, KeyCode::Char('k'));
        assert_eq!(ui.orders.offset, 19);
        ui.orders.fit(5, 10);
        assert_eq!(ui.orders.offset, 0);
    }
}
