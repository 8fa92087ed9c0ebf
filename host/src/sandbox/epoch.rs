//! When guests that compute are looked at. Who waits needs no look, so that the clock is that of the time for which we
//! compute: a host that has little to do is hardly ever woken.

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

/// So often, in the time of all our threads together; the kernel counts it by its own ticks, some milliseconds each.
const TICK_CPU_TIME: Duration = Duration::from_millis(5);

/// And so often by the clock on the wall, should the other not go: a guest may overrun its deadline by as much.
const MAX_TICK_WALL_MS: u16 = 100;

/// Ticks for as long as the engine lives, in a thread of its own: guests that compute can occupy all others.
pub fn spawn_epoch_ticker(engine: &Engine) -> io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("clock".to_owned()).spawn(move || {
        let alarm = Alarm::set();
        if let Err(error) = &alarm {
            tracing::debug!("guests are looked at by the clock on the wall: the kernel gives no other ({error})");
        }
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            match &alarm {
                Ok(alarm) => alarm.wait(),
                Err(_) => thread::sleep(TICK_CPU_TIME),
            }
        }
    })?;
    Ok(())
}

/// Rings for the thread that has set it.
struct Alarm {
    signals: SignalFd,
    _timer: Timer,
}

impl Alarm {
    #[cfg(target_env = "gnu")]
    fn set() -> nix::Result<Self> {
        /// One that nobody else uses, and no other thread gets.
        const SIGNAL: Signal = Signal::SIGVTALRM;
        let mask = SigSet::from(SIGNAL);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let to_us = SigevNotify::SigevThreadId { signal: SIGNAL, thread_id: gettid().as_raw(), si_value: 0 };
        let mut timer = Timer::new(ClockId::CLOCK_PROCESS_CPUTIME_ID, SigEvent::new(to_us))?;
        timer.set(Expiration::Interval(TICK_CPU_TIME.into()), TimerSetTimeFlags::empty())?;
        Ok(Self { signals, _timer: timer })
    }

    /// Elsewhere the bindings have no timer that rings for one thread.
    #[cfg(not(target_env = "gnu"))]
    fn set() -> nix::Result<Self> {
        Err(nix::errno::Errno::ENOTSUP)
    }

    fn wait(&self) {
        let ringing = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        // Whatever comes of it, it is time to look; but not without a pause.
        if poll(&mut [ringing], PollTimeout::from(MAX_TICK_WALL_MS)).is_err() {
            thread::sleep(TICK_CPU_TIME);
        }
        while let Ok(Some(_)) = self.signals.read_signal() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_when_we_compute() {
        // In a thread of its own: the signal stays blocked there.
        let rung = thread::spawn(|| {
            let alarm = Alarm::set().expect("the kernel has such a timer");
            let now = || Duration::from(ClockId::CLOCK_PROCESS_CPUTIME_ID.now().expect("a clock"));
            let end = now() + 20 * TICK_CPU_TIME;
            while now() < end {
                std::hint::spin_loop();
            }
            alarm.signals.read_signal()
        });
        assert!(matches!(rung.join().expect("no panic"), Ok(Some(_))));
    }
}
