//! A provider that limits tokens a minute, on the loopback interface, and a kernel with more to ask than it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::programs::{Script, ScriptStep};
use kernel::{Kernel, Until};
use kernel_llm::{OpenAi, OpenAiConfig, model_info};
use kernel_sched::{Bucket, CpuLimits, Micros, Rate};
use kernel_types::{Call, ExitStatus, InferArgs, ModelInfo, NewPage, PageKind, Pid, ProcessState, Tokens};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Tokens a minute; a tenth of it may come at once.
const LIMIT: Rate = Rate { amount: 3_600_000, per: Micros(60_000_000), burst: 360_000 };
/// Requests a minute; a tenth of it may come at once.
const REQUESTS: Rate = Rate { amount: 6_000, per: Micros(60_000_000), burst: 600 };
/// How long an answer takes.
const LATENCY: Duration = Duration::from_millis(15);
/// Tokens of an answer, and what is asked for at most.
const OUTPUT: u64 = 40;
const ASKED: u64 = 100;
/// What was used and refused in this time is not counted.
const WARM_UP: Duration = Duration::from_secs(6);

/// What the provider saw after the warm-up.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    calls: u64,
    refused: u64,
    used: u64,
    /// Of the whole run.
    all: u64,
    served: u64,
}

/// What it limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limits {
    Tokens,
    Requests,
}

impl Limits {
    /// What a call takes of it.
    fn of(self, tokens: u64) -> u64 {
        match self {
            Self::Tokens => tokens,
            Self::Requests => 1,
        }
    }
}

/// Counts as the large providers do: the prompt and the output asked for when a request comes, what it was when it is answered.
struct Provider {
    limits: Limits,
    /// Whoever is refused is told to come back at once.
    at_once: bool,
    bucket: Bucket,
    start: Instant,
    seen: Seen,
    ended: Option<Duration>,
}

impl Provider {
    fn now(&self) -> Micros {
        Micros(self.start.elapsed().as_micros() as u64)
    }

    fn counts(&self) -> bool {
        self.ended.is_none() && self.start.elapsed() >= WARM_UP
    }
}

async fn serve(mut stream: TcpStream, provider: Arc<Mutex<Provider>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let Some(body) = request(&mut stream, &mut bytes).await? else { return Ok(()) };
        let prompt = body.len() as u64 / 4;
        let refused = {
            let mut provider = provider.lock();
            let now = provider.now();
            let counts = u64::from(provider.counts());
            provider.seen.calls += counts;
            provider.seen.all += 1;
            let at = provider.bucket.earliest(provider.limits.of(prompt + ASKED), now);
            let wait = at.0.saturating_sub(now.0);
            if wait == 0 {
                let taken = provider.limits.of(prompt + ASKED);
                provider.bucket.take(taken, now);
                None
            } else {
                provider.seen.refused += counts;
                Some(if provider.at_once { 0 } else { wait.div_ceil(1_000_000) })
            }
        };
        if let Some(wait) = refused {
            let body =
                r#"{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#;
            let head = format!(
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait}\r\ncontent-type: application/json"
            );
            stream
                .write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())
                .await?;
            continue;
        }
        tokio::time::sleep(LATENCY).await;
        {
            let mut provider = provider.lock();
            let now = provider.now();
            let (taken, used) = (provider.limits.of(prompt + ASKED), provider.limits.of(prompt + OUTPUT));
            provider.bucket.settle(taken, used, now);
            provider.seen.served += 1;
            provider.seen.used += if provider.counts() { used } else { 0 };
        }
        let usage = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{OUTPUT},"total_tokens":{}}}"#,
            prompt + OUTPUT
        );
        let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Yes.\"},\"finish_reason\":\"stop\"}]}\n\n";
        let end = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream";
        stream
            .write_all(
                format!("{head}\r\ncontent-length: {}\r\n\r\n{text}{end}", text.len() + end.len()).as_bytes(),
            )
            .await?;
    }
}

/// The body of the next request on a connection; `None` at its end.
async fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if bytes.len() >= whole {
                let body = bytes[end + 4..whole].to_vec();
                bytes.drain(..whole);
                return Ok(Some(body));
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

async fn listen(limits: Limits) -> (String, Arc<Mutex<Provider>>) {
    let rate = if limits == Limits::Tokens { LIMIT } else { REQUESTS };
    let provider = Provider {
        limits,
        at_once: false,
        bucket: Bucket::new(rate).unwrap(),
        start: Instant::now(),
        seen: Seen::default(),
        ended: None,
    };
    let provider = Arc::new(Mutex::new(provider));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let shared = Arc::clone(&provider);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that goes away is its own affair.
            drop(tokio::spawn(serve(stream, Arc::clone(&shared))));
        }
    });
    (url, provider)
}

fn model() -> ModelInfo {
    ModelInfo { pricing: None, window: Tokens(64_000), max_output: Tokens(1_000), ..model_info("limited") }
}

fn kernel(url: &str, slots: u32, limits: CpuLimits) -> kernel::KernelBuilder {
    let config = OpenAiConfig { slots, ..OpenAiConfig::new(url, None, model()) };
    let cpu = OpenAi::with_config(config).unwrap();
    Kernel::builder().cpu_within(cpu, limits).keep_warm(false)
}

/// Thinks so often about a page of so many hundred tokens.
fn agent(calls: u32, hundreds: usize) -> kernel_types::Spec {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(10 * hundreds);
    let page = NewPage::text(PageKind::User, text);
    let think = Call::Infer(InferArgs { max_output: Tokens(ASKED), ..InferArgs::default() });
    let steps = vec![
        ScriptStep { repeat: 1, calls: vec![Call::PageAlloc { pages: vec![page] }] },
        ScriptStep { repeat: calls, calls: vec![think] },
    ];
    Script { step: steps, ..Script::default() }.spec("thinker").unwrap()
}

#[expect(clippy::print_stdout, reason = "how near a case comes to its bound")]
/// So many agents ask for at least twice what the provider gives, until one of them is done. The fewer they are, the larger
/// their calls: that they ask for more than there is must not be a matter of how fast this machine is.
async fn storm(limited: Limits, agents: u32, calls: u32, hundreds: usize) {
    let (url, provider) = listen(limited).await;
    let limits = match limited {
        Limits::Tokens => CpuLimits { requests: None, tokens: Some(Rate { burst: 240_000, ..LIMIT }) },
        Limits::Requests => CpuLimits { requests: Some(Rate { burst: 400, ..REQUESTS }), tokens: None },
    };
    let kernel = kernel(&url, agents.min(64), limits).build().await.unwrap();
    provider.lock().start = Instant::now();
    let mut pids: Vec<Pid> = Vec::new();
    for _ in 0..agents {
        pids.push(kernel.spawn(agent(calls, hundreds)).await.unwrap());
    }
    let first_done = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let states = kernel.status().await.unwrap();
            if states.iter().any(|info| matches!(info.state, ProcessState::Exited(_))) {
                let mut provider = provider.lock();
                provider.ended = Some(provider.start.elapsed());
                return;
            }
        }
    };
    let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), first_done);
    run.unwrap();
    for pid in pids {
        assert!(matches!(kernel.exit_status(pid).await.unwrap(), Some(ExitStatus::Ok(_))), "no failed task");
    }
    let (seen, ended) = {
        let provider = provider.lock();
        (provider.seen, provider.ended.unwrap())
    };
    let window = (ended - WARM_UP).as_secs_f64();
    let rate = if limited == Limits::Tokens { LIMIT } else { REQUESTS };
    let allowed = window * rate.amount as f64 / 60.0;
    let share = seen.used as f64 / allowed;
    println!(
        "{agents} agents, {limited:?}: {window:.1} s, {:.1} % used, {} of {} refused",
        share * 100.0,
        seen.refused,
        seen.calls
    );
    assert!(window > 4.0, "long enough to say something: {window:.1} s");
    assert!((0.97..1.05).contains(&share), "{:.1} % of what is allowed was used", share * 100.0);
    assert!(seen.refused * 1000 < seen.calls, "{} of {} refused", seen.refused, seen.calls);
    assert_eq!(seen.served, u64::from(agents * calls), "each call once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_5_agents_use_what_the_provider_gives() {
    storm(Limits::Tokens, 5, 64, 42).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_50_agents_use_what_the_provider_gives() {
    storm(Limits::Tokens, 50, 14, 17).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_500_agents_use_what_the_provider_gives() {
    storm(Limits::Tokens, 500, 5, 4).await;
}

/// Forty agents that would make some two thousand requests a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_requests_are_used_up_as_well() {
    storm(Limits::Requests, 40, 55, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_a_provider_whose_limit_nobody_told_fail_no_task() {
    for at_once in [false, true] {
        let (url, provider) = listen(Limits::Tokens).await;
        {
            let mut provider = provider.lock();
            provider.bucket.take(LIMIT.burst, Micros(0));
            provider.bucket.change(Rate { burst: 4_000, ..LIMIT }, Micros(0));
            provider.at_once = at_once;
        }
        let limits = kernel::Limits { retry: Duration::from_secs(60), ..kernel::Limits::default() };
        let kernel = kernel(&url, 32, CpuLimits::default()).limits(limits).build().await.unwrap();
        let mut pids = Vec::new();
        for _ in 0..32 {
            pids.push(kernel.spawn(agent(8, 4)).await.unwrap());
        }
        kernel.run_until(Until::Idle).await.unwrap();
        for pid in pids {
            let ended = kernel.exit_status(pid).await.unwrap();
            assert!(matches!(ended, Some(ExitStatus::Ok(_))), "no failed task, at once: {at_once}");
        }
        let seen = provider.lock().seen;
        assert_eq!(seen.served, 32 * 8, "{seen:?}");
        assert!(seen.all > seen.served, "some were refused: {seen:?}");
        assert!(seen.all < 8 * seen.served, "and not asked in a circle, at once: {at_once}: {seen:?}");
    }
}
