//! What is to be seen: a plain function of the board, the keys and the moment. Two equal views need no second drawing.

use dropmate_api::order::StopKind;
use jiff::{SignedDuration, Timestamp};

use super::{
    board::{Board, Link},
    line::{DriverLine, Key, OrderLine},
    ui::{Pane, Scroll, Ui},
};

/// What a row is to the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    pub(super) tone: Tone,
}

/// A table, cut to what fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) headings: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
    /// The widths that suit all rows, also those out of sight: scrolling moves no column.
    pub(super) widths: Vec<u16>,
    pub(super) focused: bool,
}

/// Everything to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) title: String,
    pub(super) link: (String, Tone),
    pub(super) phases: Vec<(String, Tone)>,
    pub(super) orders: Table,
    pub(super) drivers: Table,
    pub(super) log: Table,
    pub(super) footer: String,
    pub(super) help: bool,
}

/// How many rows each table can show.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heights {
    pub(super) orders: usize,
    pub(super) drivers: usize,
    pub(super) log: usize,
}

/// What the board is about.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// `None`: every namespace.
    pub(super) namespace: Option<String>,
    /// How fast business time runs.
    pub(super) speed: f64,
}

/// The view at that moment of business time. Fits the scrolling to the rows there are.
pub(super) fn view(board: &Board, ui: &mut Ui, heights: Heights, about: &About, now: Timestamp) -> View {
    let named = |key: &Key| match about.namespace {
        None if !key.namespace.is_empty() => format!("{}/{}", key.namespace, key.name),
        _ => key.name.clone(),
    };
    let mut open: Vec<&OrderLine> = board.orders.open.values().collect();
    // Those that are late were due before all others.
    open.sort_by_key(|line| (line.due_by.is_none(), line.due_by, &line.key));
    let late = open.iter().filter(|line| line.is_late(now)).count();
    let finished = board.orders.finished.values().rev().filter(|_| ui.finished);
    let orders: Vec<Row> =
        open.into_iter().chain(finished).map(|line| order_row(line, named(&line.key), board.eta(line), now)).collect();

    let active = board.active();
    let load = |line: &DriverLine| active.get(&line.key).copied().unwrap_or_default();
    let drivers: Vec<Row> =
        board.drivers.values().map(|line| driver_row(line, named(&line.key), load(line), now)).collect();
    let log = board
        .log
        .iter()
        .rev()
        .map(|entry| Row { cells: vec![clock(entry.at), named(&entry.key), entry.text.clone()], tone: Tone::Plain });

    let orders_are = if ui.finished { "Orders, the last finished ones below" } else { "Open orders" };
    View {
        orders: table(ui, Pane::Orders, orders_are, &ORDER_HEADINGS, orders, heights.orders),
        drivers: table(ui, Pane::Drivers, "Drivers", &DRIVER_HEADINGS, drivers, heights.drivers),
        log: table(ui, Pane::Log, "Changes, newest first", &LOG_HEADINGS, log.collect(), heights.log),
        title: title(about, now),
        link: match board.link() {
            Link::Loading => ("loading".to_owned(), Tone::Warning),
            Link::Live => ("live".to_owned(), Tone::Good),
            Link::Cut(why) => (format!("reconnecting: {why}"), Tone::Bad),
        },
        phases: phases(board, late),
        footer: footer(ui),
        help: ui.help,
    }
}

const ORDER_HEADINGS: [&str; 7] = ["ORDER", "PHASE", "DRIVER", "DUE", "ETA", "AGE", "NOTE"];
const DRIVER_HEADINGS: [&str; 6] = ["DRIVER", "NAME", "STATE", "ORDERS", "LOAD", "NEXT STOP"];
const LOG_HEADINGS: [&str; 3] = ["AT", "WHAT", "CHANGE"];

fn table(ui: &mut Ui, pane: Pane, title: &str, headings: &[&'static str], mut rows: Vec<Row>, height: usize) -> Table {
    let all = rows.len();
    rows.retain(|row| ui.wants(&row.cells));
    let count = if rows.len() == all { all.to_string() } else { format!("{} of {all}", rows.len()) };
    let focused = ui.pane == pane;
    let scroll: &mut Scroll = match pane {
        Pane::Orders => &mut ui.orders,
        Pane::Drivers => &mut ui.drivers,
        Pane::Log => &mut ui.log,
    };
    scroll.fit(rows.len(), height);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(column));
        let widest = cells.map(|cell| ratatui::text::Span::raw(cell).width()).max().unwrap_or_default();
        u16::try_from(widest.max(headings[column].len())).unwrap_or(u16::MAX)
    };
    let widths = (0..headings.len()).map(width).collect();
    let below = rows.len().saturating_sub(scroll.offset + height);
    let hidden = match (scroll.offset, below) {
        (0, 0) => String::new(),
        (above, below) => format!(", {above} above, {below} below"),
    };
    Table {
        title: format!(" {title} ({count}{hidden}) "),
        headings: headings.to_vec(),
        rows: rows.into_iter().skip(scroll.offset).take(height).collect(),
        widths,
        focused,
    }
}

fn order_row(line: &OrderLine, name: String, eta: Option<Timestamp>, now: Timestamp) -> Row {
    let ended = line.phase.is_terminal();
    let will_be_late = line.due_by.zip(eta).is_some_and(|(due, eta)| eta > due);
    let tone = match (ended, line.is_late(now), will_be_late) {
        (true, ..) => Tone::Faint,
        (_, true, _) => Tone::Bad,
        (.., true) => Tone::Warning,
        _ => Tone::Plain,
    };
    let due = match line.due_by {
        None => String::new(),
        Some(due) if line.is_late(now) => format!("{} late", span(line.ended_at.unwrap_or(now).duration_since(due))),
        Some(_) if ended => "in time".to_owned(),
        Some(due) => until(due, now),
    };
    let age = line.placed_at.filter(|placed| *placed <= now);
    let cells = vec![
        name,
        format!("{:?}", line.phase),
        line.driver.clone().unwrap_or_default(),
        due,
        eta.map(|eta| until(eta, now)).unwrap_or_default(),
        age.map(|placed| span(line.ended_at.unwrap_or(now).duration_since(placed))).unwrap_or_default(),
        line.note.clone(),
    ];
    Row { cells, tone }
}

fn driver_row(line: &DriverLine, name: String, active: usize, now: Timestamp) -> Row {
    let (state, tone) = match () {
        () if line.suspended => ("suspended", Tone::Warning),
        () if active > 0 => ("busy", Tone::Plain),
        () if !line.is_on_shift(now) => ("off shift", Tone::Faint),
        () => ("free", Tone::Good),
    };
    let next = line.next.as_ref().map(|(stop, order, eta)| {
        let stop = if *stop == StopKind::Pickup { "pickup" } else { "dropoff" };
        let eta = eta.map(|eta| format!(" {}", until(eta, now))).unwrap_or_default();
        format!("{stop} {order}{eta}")
    });
    let load = 100 * active / line.capacity.max(1);
    let cells = vec![
        name,
        line.display_name.clone(),
        state.to_owned(),
        active.to_string(),
        format!("{load:>3} %"),
        next.unwrap_or_default(),
    ];
    Row { cells, tone }
}

fn title(about: &About, now: Timestamp) -> String {
    let namespace = about.namespace.as_deref().unwrap_or("all namespaces");
    let speed =
        if (about.speed - 1.0).abs() > f64::EPSILON { format!(", {}× life", about.speed) } else { String::new() };
    format!("dropmate  {namespace}  {} {} UTC{speed}", now.strftime("%F"), clock(now))
}

fn phases(board: &Board, late: usize) -> Vec<(String, Tone)> {
    let mut counts: Vec<(String, Tone)> = board
        .phases()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(phase, count)| {
            (format!("{phase:?} {count}"), if phase.is_terminal() { Tone::Faint } else { Tone::Plain })
        })
        .collect();
    if late > 0 {
        counts.insert(0, (format!("Late {late}"), Tone::Bad));
    }
    if counts.is_empty() {
        counts.push(("no orders".to_owned(), Tone::Faint));
    }
    counts
}

fn footer(ui: &Ui) -> String {
    match (ui.typing, ui.filter.as_str()) {
        (true, filter) => format!("/{filter}▏  Enter keeps, Esc gives up"),
        (false, "") => "q quit  Tab pane  ↑↓ scroll  / filter  d finished  ? help".to_owned(),
        (false, filter) => format!("only rows with {filter:?}: / changes, Esc shows all"),
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%T").to_string()
}

fn until(then: Timestamp, now: Timestamp) -> String {
    let ahead = then.duration_since(now);
    if ahead.is_negative() { format!("{} ago", span(-ahead)) } else { format!("in {}", span(ahead)) }
}

/// A span as people say it: two units at most, the smaller one only where it matters.
fn span(span: SignedDuration) -> String {
    let span = span.max(SignedDuration::ZERO);
    let (minutes, hours, days) = (span.as_mins(), span.as_hours(), span.as_hours() / 24);
    match () {
        () if minutes < 1 => format!("{}s", span.as_secs()),
        () if hours < 1 => format!("{minutes}m"),
        () if hours < 24 => format!("{hours}h{:02}m", minutes % 60),
        () => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
