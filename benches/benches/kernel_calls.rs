//! What an LLM syscall costs beside the model: from a program's `infer` to the answer in its next step, through the gate,
//! the pager, the scheduler, the journal and a store in memory, with a model that answers at once. Beside it: how many a
//! second a thousand agents make, how soon one that gets a message runs, and how many processes are spawned a second.
//! Percentiles, not means: it is the slow one that is waited for.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use kernel::{Input, Kernel, KernelBuilder, Program, ProgramError, ProgramFactory, Saved, Step, Until};
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, model_info};
use kernel_types::{
    Call, ExitStatus, InferArgs, Inference, Millis, ModelInfo, NewPage, PageKind, Part, Pid, ReceiveArgs,
    Spec, TokenUsage, Tokens,
};

/// The same as in `agentos`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Builds with debug assertions only try it out.
const TRY: bool = cfg!(debug_assertions);
const CALLS: usize = if TRY { 50 } else { 20_000 };
const AGENTS: usize = if TRY { 20 } else { 1_000 };
const CALLS_OF_EACH: usize = if TRY { 3 } else { 50 };
const MESSAGES: usize = if TRY { 50 } else { 5_000 };
/// Between two messages: what is measured is the way of one, not a queue.
const BETWEEN: Duration = Duration::from_micros(200);

type Times = Arc<Mutex<Vec<Duration>>>;

/// Asks the model so often, one call a step, and notes how long each took.
struct Asker {
    times: Times,
    left: usize,
    asked: Option<Instant>,
}

impl Program for Asker {
    fn step(&mut self, input: Input) -> Step {
        match input {
            Input::Start(_) => {
                let page = NewPage::text(PageKind::User, "What is the answer?").pinned();
                return Step::Calls(vec![Call::PageAlloc { pages: vec![page] }]);
            }
            Input::Signal(signal) => return Step::Exit(ExitStatus::Killed(signal)),
            Input::Replies(replies) => {
                assert!(replies.iter().all(|reply| reply.result.is_ok()), "{replies:?}");
                if let Some(asked) = self.asked {
                    self.times.lock().expect("nobody panics with it").push(asked.elapsed());
                }
            }
        }
        if self.left == 0 {
            return Step::Exit(ExitStatus::Ok("asked".to_owned()));
        }
        self.left -= 1;
        self.asked = Some(Instant::now());
        Step::Calls(vec![Call::Infer(InferArgs::default())])
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &())
    }
}

/// Waits for messages, and notes how long ago each was sent.
struct Listener {
    times: Times,
    sent: Arc<Mutex<Option<Instant>>>,
}

impl Program for Listener {
    fn step(&mut self, input: Input) -> Step {
        match input {
            Input::Signal(signal) => return Step::Exit(ExitStatus::Killed(signal)),
            Input::Replies(_) => {
                let sent = self.sent.lock().expect("nobody panics with it").take().expect("it was sent");
                self.times.lock().expect("nobody panics with it").push(sent.elapsed());
            }
            Input::Start(_) => {}
        }
        Step::Calls(vec![Call::Receive(ReceiveArgs::default())])
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &())
    }
}

/// Ends at once.
struct Ender;

impl Program for Ender {
    fn step(&mut self, _: Input) -> Step {
        Step::Exit(ExitStatus::Ok(String::new()))
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &())
    }
}

/// Sleeps, so that a run does not end where all others wait.
struct Sleeper;

impl Program for Sleeper {
    fn step(&mut self, _: Input) -> Step {
        Step::Calls(vec![Call::Sleep { ms: Millis(3_600_000) }])
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &())
    }
}

/// A model that answers at once.
struct Instantly;

#[async_trait]
impl Cpu for Instantly {
    fn models(&self) -> Vec<ModelInfo> {
        vec![model_info("instant")]
    }

    fn slots(&self) -> u32 {
        16
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let usage = TokenUsage { input: Tokens(20), output: Tokens(1), ..TokenUsage::default() };
        Ok(Inference {
            model: request.model,
            parts: vec![Part::Text("42".into())],
            finish: "stop".to_owned(),
            usage,
        })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

/// Makes programs with a closure.
struct Make<F>(F);

impl<P: Program + 'static, F: Fn() -> P + Send + Sync> ProgramFactory for Make<F> {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(self.0()))
    }

    fn load(&self, _: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        self.start(&Spec::default())
    }
}

fn builder() -> KernelBuilder {
    Kernel::builder().cpu(Instantly).seed(1)
}

/// Spawns so many, some hundred at a time.
async fn spawn(kernel: &Kernel, program: &str, count: usize) -> Vec<Pid> {
    let one = |_| kernel.spawn(Spec { program: program.to_owned(), ..Spec::default() });
    let spawned = stream::iter(0..count).map(one).buffered(256);
    spawned.map(|pid| pid.expect("spawned")).collect().await
}

fn say(name: &str, times: &Times) {
    let mut times = times.lock().expect("nobody panics with it");
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 1000].as_secs_f64() * 1e6;
    println!(
        "{name:44} {:6} times  p50 {:7.1} us  p99 {:7.1} us  p99.9 {:7.1} us",
        times.len(),
        at(500),
        at(990),
        at(999)
    );
}

/// The way of a call and back, and how many a second.
async fn calls(agents: usize, of_each: usize) {
    let times = Times::default();
    let noted = Arc::clone(&times);
    let asker = Make(move || Asker { times: Arc::clone(&noted), left: of_each, asked: None });
    let kernel = builder().program("asker", asker).build().await.expect("the parts fit");
    spawn(&kernel, "asker", agents).await;
    // Their first steps only make the page they ask with.
    kernel.run_until(Until::Steps(agents as u64)).await.expect("the store works");
    let start = Instant::now();
    kernel.run_until(Until::Idle).await.expect("the store works");
    let rate = (agents * of_each) as f64 / start.elapsed().as_secs_f64();
    assert_eq!(
        times.lock().expect("nobody panics with it").len(),
        agents * of_each,
        "every call was answered"
    );
    if agents == 1 {
        say("an LLM syscall, one agent", &times);
    }
    println!("{:44} {rate:9.0} a second", format!("LLM syscalls, {agents} agent(s)"));
}

/// From a message's sending to the step of the process it is for, where a thousand wait.
async fn ready_to_running() {
    let (times, sent) = (Times::default(), Arc::new(Mutex::new(None)));
    let (noted, shared) = (Arc::clone(&times), Arc::clone(&sent));
    let listener = Make(move || Listener { times: Arc::clone(&noted), sent: Arc::clone(&shared) });
    let builder = builder().program("listener", listener).program("sleeper", Make(|| Sleeper));
    let kernel = builder.build().await.expect("the parts fit");
    let pids = spawn(&kernel, "listener", AGENTS).await;
    spawn(&kernel, "sleeper", 1).await;
    kernel.run_until(Until::Steps(AGENTS as u64 + 1)).await.expect("the store works");
    let speak = async {
        for message in 0..MESSAGES {
            tokio::time::sleep(BETWEEN).await;
            *sent.lock().expect("nobody panics with it") = Some(Instant::now());
            kernel.send(pids[message * 7919 % pids.len()], "go on").await.expect("sent");
            while times.lock().expect("nobody panics with it").len() <= message {
                tokio::time::sleep(BETWEEN).await;
            }
        }
    };
    tokio::select! {
        run = kernel.run_until(Until::Idle) => panic!("the run ended before its messages: {run:?}"),
        () = speak => {}
    }
    say(&format!("ready to running, {AGENTS} agents"), &times);
}

/// Processes from spawn to exit, and spawns alone.
async fn spawns() {
    let kernel = builder().program("ender", Make(|| Ender)).build().await.expect("the parts fit");
    let count = AGENTS * 10;
    let start = Instant::now();
    spawn(&kernel, "ender", count).await;
    let spawned = start.elapsed();
    kernel.run_until(Until::Idle).await.expect("the store works");
    println!("{:44} {:9.0} a second", "spawns", count as f64 / spawned.as_secs_f64());
    println!(
        "{:44} {:9.0} a second",
        "processes from spawn to exit",
        count as f64 / start.elapsed().as_secs_f64()
    );
}

/// Everything, or with an argument what is called so: `one agent`, `many agents`, `ready to running`, `spawns`.
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let asked = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wants = |name: &str| asked.as_ref().is_none_or(|asked| name.contains(asked.as_str()));
    runtime.expect("a runtime").block_on(async {
        if wants("one agent") {
            calls(1, CALLS).await;
        }
        if wants("many agents") {
            calls(AGENTS, CALLS_OF_EACH).await;
        }
        if wants("ready to running") {
            ready_to_running().await;
        }
        if wants("spawns") {
            spawns().await;
        }
    });
}
