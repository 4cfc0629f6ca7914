//! The terminal: taken, and always given back.

use std::{io, thread, time::Duration};

use ratatui::{
    DefaultTerminal,
    crossterm::{cursor::Show, event, execute},
};
use tokio::sync::mpsc;

/// How long the reader of keys sleeps before it looks whether anybody still wants them.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// More keys than this are not waiting while the board is drawn; the reader stops until they are taken.
const MAX_KEYS: usize = 64;

/// The terminal, in raw mode and on its second screen for as long as the value lives. A panic gives it back before it
/// prints its message.
pub(super) struct Screen {
    pub(super) terminal: DefaultTerminal,
}

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        ratatui::try_init().map(|terminal| Self { terminal }).inspect_err(|_| give_back())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // A terminal that has gone needs nothing any more.
    let _ = ratatui::try_restore();
    let _ = execute!(io::stdout(), Show);
}

/// What is typed, and changes of the terminal's size. Ends when the receiver is dropped, or with the error that ended
/// the reading.
pub(super) fn keys() -> mpsc::Receiver<io::Result<event::Event>> {
    let (sender, receiver) = mpsc::channel(MAX_KEYS);
    // Reading blocks, so it has a thread of its own; it is never waited for.
    thread::spawn(move || {
        while !sender.is_closed() {
            let read = match event::poll(LOOK_EVERY) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
