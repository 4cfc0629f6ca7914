//! From a view to the cells of a terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph, Row, Table as Cells, Wrap},
};

use super::view::{Heights, Table, Tone, View};

/// From this width on orders and drivers stand side by side.
const WIDE: u16 = 150;
/// Lines of the log, its title and headings included, and what it may take of a low terminal.
const LOG_LINES: u16 = 10;
/// A table's title and headings.
const TABLE_HEAD: u16 = 2;
/// Blanks between columns.
const SPACING: u16 = 2;

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    title: Rect,
    phases: Rect,
    orders: Rect,
    drivers: Rect,
    log: Rect,
    footer: Rect,
}

/// Divides the terminal.
pub(super) fn places(area: Rect) -> Places {
    let log = LOG_LINES.min(area.height / 4);
    // Two lines hold every phase on 100 columns.
    let lines = [1, 2].map(Constraint::Length);
    let [title, phases, tables, log, footer] =
        Layout::vertical([lines[0], lines[1], Constraint::Fill(1), Constraint::Length(log), Constraint::Length(1)])
            .areas(area);
    let [orders, drivers] = if area.width >= WIDE {
        Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).spacing(SPACING).areas(tables)
    } else {
        Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(tables)
    };
    Places { title, phases, orders, drivers, log, footer }
}

impl Places {
    /// How many rows the tables can show.
    pub(super) fn heights(&self) -> Heights {
        let rows = |area: Rect| usize::from(area.height.saturating_sub(TABLE_HEAD));
        Heights { orders: rows(self.orders), drivers: rows(self.drivers), log: rows(self.log) }
    }
}

/// How tones look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// Whether colours are wanted; weight tells the tones apart without.
    pub(super) colours: bool,
}

impl Paint {
    fn style(self, tone: Tone) -> Style {
        let coloured = |colour: Color| if self.colours { Style::new().fg(colour) } else { Style::new() };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => coloured(Color::Green),
            Tone::Warning => coloured(Color::Yellow),
            Tone::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        }
    }
}

/// Draws it all.
pub(super) fn draw(frame: &mut Frame, view: &View, paint: Paint) {
    let places = places(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let (link, tone) = &view.link;
    let title = vec![Span::styled(&*view.title, bold), Span::raw("  "), Span::styled(&**link, paint.style(*tone))];
    frame.render_widget(Line::from(title), places.title);
    let phases =
        view.phases.iter().flat_map(|(text, tone)| [Span::styled(&**text, paint.style(*tone)), Span::raw("  ")]);
    frame.render_widget(Paragraph::new(phases.collect::<Line>()).wrap(Wrap { trim: true }), places.phases);
    table(frame, &view.orders, places.orders, paint);
    table(frame, &view.drivers, places.drivers, paint);
    table(frame, &view.log, places.log, paint);
    frame.render_widget(Line::styled(&*view.footer, paint.style(Tone::Faint)), places.footer);
    if view.help {
        help(frame);
    }
}

fn table(frame: &mut Frame, table: &Table, area: Rect, paint: Paint) {
    let weight = if table.focused { Modifier::BOLD | Modifier::REVERSED } else { Modifier::empty() };
    let title = Span::styled(&*table.title, Style::new().add_modifier(weight));
    let rows = table
        .rows
        .iter()
        .map(|row| Row::new(row.cells.iter().map(|cell| Span::raw(&**cell))).style(paint.style(row.tone)));
    // Where it is narrow only the last column is cut.
    let last = table.widths.len().saturating_sub(1);
    let widths = table
        .widths
        .iter()
        .enumerate()
        .map(|(column, width)| if column == last { Constraint::Fill(1) } else { Constraint::Length(*width) });
    let headings = Row::new(table.headings.iter().copied()).style(paint.style(Tone::Faint));
    let cells = Cells::new(rows, widths)
        .header(headings)
        .column_spacing(SPACING)
        .block(Block::new().borders(Borders::TOP).border_style(paint.style(Tone::Faint)).title(title));
    frame.render_widget(cells, area);
}

const HELP: &str = "\
q, Esc, Ctrl-C   quit
Tab, Shift-Tab   next pane, pane before
↑ ↓ or k j       scroll
PgUp PgDn        by pages; Home, End
/                only rows with a text: Enter keeps, Esc shows all
d                finished orders as well, the last 200
?                this

Red is late, yellow will be late by its ETA or is suspended.
Times are business time; AGE is since the order was placed.";

fn help(frame: &mut Frame) {
    let lines = HELP.lines();
    let width = lines.clone().map(|line| Span::raw(line).width()).max().unwrap_or_default();
    // Borders and a blank on each side.
    let (width, height) = (width as u16 + 4, lines.count() as u16 + 2);
    let area = frame.area();
    let (width, height) = (width.min(area.width), height.min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    let block = Block::bordered().title(" Keys ").padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(block), place);
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
