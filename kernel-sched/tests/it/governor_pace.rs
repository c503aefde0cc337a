//! One refusal after light use, or none, slows a Cpu down for seconds; it does not stop it.

use kernel_sched::{Admission, CallEnd, CpuLimits, Governor, HeldBy, Micros, Rate};

const SECOND: u64 = 1_000_000;
/// The longest that a pace which was guessed holds a call up: two bursts, each a tenth of a minute's tokens.
const HELD: u64 = 12 * SECOND;

/// A Cpu of 8 slots, and the time.
struct Cpu {
    governor: Governor,
    now: u64,
}

impl Cpu {
    fn new(limits: CpuLimits) -> Self {
        Self { governor: Governor::new(limits, 8).unwrap(), now: 0 }
    }

    /// A call that is answered after so many seconds.
    fn serve(&mut self, tokens: u64, seconds: u64) {
        let call = self.governor.start(tokens, Micros(self.now));
        self.now += seconds * SECOND;
        self.governor.end(call, CallEnd::Served { tokens }, Micros(self.now));
    }

    fn refuse(&mut self, tokens: u64) {
        let call = self.governor.start(tokens, Micros(self.now));
        self.now += SECOND / 10;
        let refused = CallEnd::Refused { retry_after: Some(Micros(SECOND)) };
        self.governor.end(call, refused, Micros(self.now));
    }

    /// Waits until a call may start: how long, once the provider's pause is over.
    fn held(&mut self, tokens: u64) -> u64 {
        let mut held = 0;
        while let Admission::At(at, why) = self.governor.admits(tokens, Micros(self.now)) {
            held += if why == HeldBy::RetryAfter { 0 } else { at.0 - self.now };
            self.now = at.0;
        }
        held
    }
}

/// Calls of 2,000 tokens, one after another, after a refusal: none is held up for longer than a pace may.
fn goes_on(mut cpu: Cpu, about: &str) {
    cpu.refuse(2_000);
    for call in 0..50 {
        let held = cpu.held(2_000);
        assert!(held <= HELD, "{about}: call {call} is held for {held} us");
        cpu.serve(2_000, 3);
    }
}

#[test]
fn a_refusal_after_quiet_hours_does_not_stop_a_cpu() {
    for hours in [1, 10, 1_000] {
        for seconds in [0, 3, 600] {
            let mut cpu = Cpu::new(CpuLimits::default());
            cpu.serve(2_000, seconds);
            cpu.now += hours * 3_600 * SECOND;
            goes_on(cpu, &format!("{hours} quiet hours after a call of {seconds} s"));
        }
    }
}

#[test]
fn a_refusal_with_nothing_used_before_does_not_stop_a_cpu() {
    for tokens in [0, 1, 7, 8] {
        let mut cpu = Cpu::new(CpuLimits::default());
        cpu.serve(tokens, 100);
        goes_on(cpu, &format!("{tokens} tokens before"));
    }
}

#[test]
fn a_large_call_after_a_refusal_after_light_use_does_not_hold_up_the_next() {
    let mut cpu = Cpu::new(CpuLimits::default());
    for minute in 0..120 {
        cpu.now = minute * 60 * SECOND;
        cpu.serve(2_000, 3);
    }
    cpu.refuse(2_000);
    assert!(cpu.held(50_000) <= HELD);
    cpu.serve(50_000, 3);
    let held = cpu.held(2_500);
    assert!(held <= HELD, "held for {held} us");
}

/// Refusal after refusal: what a Cpu is taken to bear has a floor.
#[test]
fn a_pace_has_a_floor() {
    let mut cpu = Cpu::new(CpuLimits::default());
    cpu.serve(10_000, 60);
    for _ in 0..500 {
        cpu.refuse(10);
        cpu.held(10);
    }
    cpu.serve(100, 1);
    let held = cpu.held(100);
    assert!(held <= HELD, "held for {held} us");
}

/// The pace of one that is left alone grows by the clock: who asks after a while finds it grown.
#[test]
fn a_pace_grows_while_nobody_calls() {
    let limits = CpuLimits { requests: None, tokens: Some(Rate::a_minute(1_000_000)) };
    let spent = |quiet: u64| {
        let mut cpu = Cpu::new(limits);
        cpu.serve(60_000, 60);
        cpu.refuse(1);
        cpu.now += quiet * SECOND;
        let start = cpu.now;
        // As much as goes through in 20 s.
        (0..)
            .take_while(|_| {
                cpu.held(500);
                let call = cpu.governor.start(500, Micros(cpu.now));
                cpu.governor.end(call, CallEnd::Served { tokens: 500 }, Micros(cpu.now));
                cpu.now < start + 20 * SECOND
            })
            .count()
    };
    let (soon, later) = (spent(30), spent(600));
    assert!(soon < 70, "at the pace it had: {soon}");
    assert!(later > 5 * soon, "{soon} calls in 20 s soon after the refusal, {later} ten minutes later");
}

#[test]
fn a_rate_of_nothing_is_an_error_not_no_limit() {
    let nothing = [
        Rate::a_minute(0),
        Rate { amount: 1, per: Micros(0), burst: 1 },
        Rate { amount: 1, per: Micros(1), burst: 0 },
    ];
    let sound = CpuLimits { requests: Some(Rate::a_minute(60)), tokens: Some(Rate::a_minute(1_000)) };
    for rate in nothing {
        for limits in [CpuLimits { requests: Some(rate), ..sound }, CpuLimits { tokens: Some(rate), ..sound }]
        {
            let error = Governor::new(limits, 1).unwrap_err();
            assert!(error.to_string().contains(&rate.amount.to_string()), "{error}");
            let mut governor = Governor::new(sound, 1).unwrap();
            assert_eq!(governor.change(limits, Micros(1)), Err(error));
            assert_eq!(governor.limits(), sound, "the old limits stay");
        }
    }
    let mut governor = Governor::new(CpuLimits::default(), 1).unwrap();
    governor.change(sound, Micros(1)).unwrap();
    assert_eq!(governor.limits(), sound);
}
