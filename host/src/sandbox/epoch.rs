//! Increments the engine's epoch: once for each 5 ms of the process's CPU time, and at least once in 100 ms of wall
//! time. At each tick, the limits of guests that compute are checked. Since ticks follow CPU time, an idle host is
//! seldom woken.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::gettid;
use wasmtime::Engine;

use crate::threads::refused;

/// The CPU time of all threads together from one tick to the next. The kernel rounds it up to its own ticks of some
/// milliseconds.
const TICK_CPU_TIME: Duration = Duration::from_millis(5);

/// The longest wall time from one tick to the next, for when the CPU clock does not advance. A guest may overrun its
/// deadline by this time.
const MAX_TICK_WALL_MS: u16 = 100;

/// Starts a thread that increments the epoch until the engine is dropped. A thread of its own is necessary because
/// guests that compute can occupy all other threads.
///
/// If the kernel has no timer on CPU time, the thread ticks each 5 ms of wall time.
///
/// # Errors
/// Returns an error if the operating system refuses the thread.
pub fn spawn_epoch_ticker(engine: &Engine) -> io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("clock".to_owned())
        .spawn(move || {
            let timer = CpuClockTimer::start();
            if let Err(error) = &timer {
                tracing::debug!("there is no timer on the process's CPU time, so the epoch follows wall time: {error}");
            }
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                match &timer {
                    Ok(timer) => timer.wait(),
                    Err(_) => thread::sleep(TICK_CPU_TIME),
                }
            }
        })
        .map_err(|error| refused(&error))?;
    Ok(())
}

/// A POSIX timer on the process's CPU clock, which signals the thread that started it.
struct CpuClockTimer {
    signals: SignalFd,
    _timer: Timer,
}

impl CpuClockTimer {
    #[cfg(target_env = "gnu")]
    fn start() -> nix::Result<Self> {
        /// The host uses this signal for nothing else. It is sent to this thread alone.
        const SIGNAL: Signal = Signal::SIGVTALRM;
        let mask = SigSet::from(SIGNAL);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let this_thread = SigevNotify::SigevThreadId { signal: SIGNAL, thread_id: gettid().as_raw(), si_value: 0 };
        let mut timer = Timer::new(ClockId::CLOCK_PROCESS_CPUTIME_ID, SigEvent::new(this_thread))?;
        timer.set(Expiration::Interval(TICK_CPU_TIME.into()), TimerSetTimeFlags::empty())?;
        Ok(Self { signals, _timer: timer })
    }

    /// Fails: for other C libraries, the crate `nix` has no timer that signals one thread.
    #[cfg(not(target_env = "gnu"))]
    fn start() -> nix::Result<Self> {
        Err(nix::errno::Errno::ENOTSUP)
    }

    /// Waits for the next tick.
    fn wait(&self) {
        let signal = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        // The wait ends with a signal, a timeout or an error. After an error, a pause avoids a busy loop.
        if poll(&mut [signal], PollTimeout::from(MAX_TICK_WALL_MS)).is_err() {
            thread::sleep(TICK_CPU_TIME);
        }
        while let Ok(Some(_)) = self.signals.read_signal() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_fires_after_cpu_time() {
        // The test runs in a thread of its own, since the signal stays blocked in that thread.
        let signal = thread::spawn(|| {
            let timer = CpuClockTimer::start().expect("the kernel has a timer on CPU time");
            let now = || Duration::from(ClockId::CLOCK_PROCESS_CPUTIME_ID.now().expect("the process has a CPU clock"));
            let end = now() + 20 * TICK_CPU_TIME;
            while now() < end {
                std::hint::spin_loop();
            }
            timer.signals.read_signal()
        });
        assert!(matches!(signal.join().expect("the thread does not panic"), Ok(Some(_))));
    }
}
