//! `agentos top`: the kernels that run on a data directory, their slots and processes, again and again.
//!
//! Asks the kernels themselves, through their sockets; where none runs, shows what the store has. Changes nothing.

mod draw;
mod frame;
mod keys;
mod plain;
mod screen;
mod source;
mod table;

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use crate::args::{Global, TopArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::signals::Interrupts;
use crate::ui::Ui;

use self::frame::Rate;

pub(crate) async fn top(global: &Global, args: &TopArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (folder, place) = (data::folder(global)?, data::place(global)?);
    let interval = Duration::from_millis(args.interval);
    if !ui.json && !args.once && stdout().is_terminal() {
        return screen::watch(folder, place, interval).await;
    }
    let mut interrupts = Interrupts::take()?;
    let mut rate = Rate::default();
    loop {
        let frame = source::frame(&folder, &place).await?;
        let per_second = rate.next(&frame);
        let heard = if ui.json {
            plain::write(&format!("{}\n", plain::object(&frame, per_second)))?
        } else {
            plain::write(&plain::table(&frame))?
        };
        // Not a terminal: one table. Objects go on until nobody reads them.
        if args.once || !ui.json || !heard {
            return Ok(Exit::Ok);
        }
        tokio::select! {
            () = interrupts.next() => return Ok(Exit::Interrupted),
            () = tokio::time::sleep(interval) => {}
        }
    }
}
