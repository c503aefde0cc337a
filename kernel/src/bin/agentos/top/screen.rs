//! The screen: keys and ticks in, drawings out. However it ends, the terminal is as it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::DefaultTerminal;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::disk::Place;
use crate::failure::{Exit, Failure};
use crate::signals::Interrupts;

use super::draw::draw;
use super::frame::{Frame, Rate};
use super::keys::View;
use super::source;

/// How long a key that was not pressed is waited for before it is seen that nobody wants it any more.
const GLANCE: Duration = Duration::from_millis(100);

/// Shows frames until a key or a signal ends it.
pub(super) async fn watch(folder: PathBuf, place: Place, interval: Duration) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::take()?;
    // Before the screen is taken: what cannot be read is said in a line.
    let first = source::frame(&folder, &place).await?;
    let mut screen = Screen::take()?;
    let mut shown = Shown::new(first);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: Option<JoinHandle<Result<Frame, Failure>>> = None;
    loop {
        screen.draw(&mut shown)?;
        tokio::select! {
            () = interrupts.next() => return Ok(Exit::Interrupted),
            event = screen.events.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if shown.view.key(key) {
                        return Ok(Exit::Ok);
                    }
                }
                // A new size is found when it is drawn.
                Some(_) => {}
                None => return Err(Failure::new(Exit::Io, "the terminal is gone")),
            },
            _ = ticks.tick(), if asked.is_none() && !shown.view.paused => {
                let (folder, place) = (folder.clone(), place.clone());
                // Keys are heard while a kernel takes its time to answer.
                asked = Some(tokio::spawn(async move { source::frame(&folder, &place).await }));
            }
            frame = answer(&mut asked) => {
                asked = None;
                shown.take(frame?);
            }
        }
    }
}

/// What was asked for, if anything was.
async fn answer(
    asked: &mut Option<JoinHandle<Result<Frame, Failure>>>,
) -> Result<Result<Frame, Failure>, Failure> {
    match asked {
        Some(asked) => {
            asked.await.map_err(|error| Failure::new(Exit::Failed, format!("asking failed: {error}")))
        }
        None => std::future::pending().await,
    }
}

/// What is on the screen.
struct Shown {
    frame: Frame,
    per_second: Option<u64>,
    rate: Rate,
    view: View,
}

impl Shown {
    fn new(frame: Frame) -> Self {
        let mut rate = Rate::default();
        rate.next(&frame);
        Self { frame, per_second: None, rate, view: View::default() }
    }

    /// A frame that cannot be had (the disk is full, say) leaves the last one with the reason.
    fn take(&mut self, frame: Result<Frame, Failure>) {
        match frame {
            Ok(frame) if self.view.paused => drop(frame),
            Ok(frame) => {
                self.per_second = self.rate.next(&frame);
                self.frame = frame;
            }
            Err(failure) => self.frame.notes = vec![failure.message().to_owned()],
        }
    }
}

/// The terminal, given back when it is dropped; by a panic too.
struct Screen {
    terminal: DefaultTerminal,
    events: Receiver<Event>,
    done: Arc<AtomicBool>,
}

impl Screen {
    fn take() -> Result<Self, Failure> {
        let terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            Failure::new(Exit::Io, format!("cannot use the terminal: {error}")).hint("try --once")
        })?;
        let (sender, events) = channel(64);
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        std::thread::spawn(move || listen(&sender, &stop));
        Ok(Self { terminal, events, done })
    }

    fn draw(&mut self, shown: &mut Shown) -> Result<(), Failure> {
        let Shown { frame, per_second, view, .. } = shown;
        let drawn = self.terminal.draw(|screen| draw(screen, frame, *per_second, view));
        drawn
            .map(drop)
            .map_err(|error| Failure::new(Exit::Io, format!("cannot draw on the terminal: {error}")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

/// Reads the keyboard on a thread of its own. It ends when the terminal does.
fn listen(sender: &Sender<Event>, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        match event::poll(GLANCE) {
            Ok(false) => {}
            Ok(true) => {
                let Ok(event) = event::read() else { return };
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
