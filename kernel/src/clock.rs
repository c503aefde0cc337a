//! What a kernel reads time from: the machine's clocks, or one that jumps, for tests and simulations of agents that wait.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel_types::Timestamp;
use parking_lot::Mutex;

/// Where a kernel's time comes from: its records' times, timers, deadlines of waits, rates, pings, budgets of time.
///
/// How long a device call may take is measured on the machine's clock whatever this says: a device takes real time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970. May jump, in both directions.
    fn wall(&self) -> Timestamp;

    /// Time since some moment of the clock's own choice. Never goes back.
    fn monotonic(&self) -> Duration;

    /// The kernel has nothing to do before `wait` has passed, unless something reaches it from outside; `idle` says whether
    /// nothing is with a device or the store, so that nothing can but what its user does. Answers how long to wait by the
    /// machine's clock before asking again.
    fn wait(&self, wait: Duration, idle: &dyn Fn() -> bool) -> Duration {
        let _ = idle;
        wait
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still while anything is under way and jumps to the next timer when all agents wait for time alone: an
/// hour's sleep takes no time, and two runs see the same times. Clones show the same time.
///
/// ```
/// # use std::time::Duration;
/// use kernel::{Clock, ManualClock};
/// # use kernel_types::Timestamp;
///
/// let clock = ManualClock::new(Timestamp(1_700_000_000_000));
/// let builder = kernel::Kernel::builder().clock(clock.clone());
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.wall(), Timestamp(1_700_000_060_000));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    /// Microseconds: a jump by less than a millisecond is not lost.
    wall: u64,
    monotonic: Duration,
}

/// How soon a kernel looks whether somebody moved its clock.
const LOOK: Duration = Duration::from_millis(1);

impl ManualClock {
    /// A clock that shows this.
    #[must_use]
    pub fn new(wall: Timestamp) -> Self {
        let wall = wall.0.saturating_mul(1000);
        Self(Arc::new(Mutex::new(Times { wall, monotonic: Duration::ZERO })))
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        let mut times = self.0.lock();
        times.wall = times.wall.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX));
        times.monotonic = times.monotonic.saturating_add(by);
    }

    /// Somebody sets the wall clock. No time passes.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.lock().wall = wall.0.saturating_mul(1000);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        Timestamp(self.0.lock().wall / 1000)
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().monotonic
    }

    fn wait(&self, wait: Duration, idle: &dyn Fn() -> bool) -> Duration {
        if !idle() {
            return wait.min(LOOK);
        }
        self.advance(wait);
        Duration::ZERO
    }
}
