//! `agentos top`, on a pseudo-terminal and off it, beside a kernel that runs a thousand agents in this process.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use kernel::programs::{Script, ScriptStep};
use kernel::serve::{self, StatusServer, serve_status};
use kernel::{Kernel, KernelStatus, ProcessStatus, Quota, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_sched::{CpuLimits, Rate};
use kernel_types::{
    Budget, Call, InferArgs, MicroUsd, Millis, NewPage, PageKind, Pid, ProcessState, RateLimit, RateUnit,
    ReceiveArgs, Signal, Spec, Tokens,
};
use portable_pty::{CommandBuilder, NativePtySystem, PtySize, PtySystem};
use serde_json::{Value, json};

use crate::home::{ANSWER, Home};

const AGENTS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: u16 = 40;
const COLUMNS: u16 = 200;

/// A kernel with many agents and its socket in a home's data folder.
struct World {
    home: Home,
    kernel: Kernel,
    server: StatusServer,
    pids: Vec<Pid>,
}

/// Each agent asks the model once, with as long a prompt as its number says, and then waits for a message; the one that comes
/// lets it ask again.
fn agent(number: usize) -> Spec {
    let page = NewPage::text(PageKind::User, format!("Question {number}. {}", "word ".repeat(number % 97)));
    let step = |calls: Vec<Call>| ScriptStep { repeat: 1, calls };
    let infer = || step(vec![Call::Infer(InferArgs { max_output: Tokens(16), ..InferArgs::default() })]);
    let script = Script {
        step: vec![
            step(vec![Call::PageAlloc { pages: vec![page] }]),
            infer(),
            step(vec![Call::Receive(ReceiveArgs::default())]),
            infer(),
            step(vec![Call::Receive(ReceiveArgs::default())]),
        ],
        ..Script::default()
    };
    script.spec(&format!("agent-{number:04}")).unwrap()
}

impl World {
    async fn new(agents: usize) -> Self {
        let home = Home::new();
        std::fs::create_dir_all(home.data()).unwrap();
        let cpu = FnCpu::new(model_info("claude-sonnet-4-5"), |_| Ok(Canned::text("Yes."))).with_slots(8);
        let kernel = Kernel::builder().cpu(cpu).build().await.unwrap();
        let server = serve_status(&kernel, &home.data()).unwrap();
        let mut pids = Vec::new();
        for number in 0..agents {
            pids.push(kernel.spawn(agent(number)).await.unwrap());
        }
        kernel.run_until(Until::Idle).await.unwrap();
        Self { home, kernel, server, pids }
    }

    async fn snapshot(&self) -> KernelStatus {
        self.kernel.snapshot().await.unwrap()
    }
}

/// `agentos top` on a pseudo-terminal.
struct Screen {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Box<dyn portable_pty::MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    said: Vec<u8>,
}

impl Screen {
    fn new(home: &Home, args: &[&str]) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = NativePtySystem::default().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_agentos"));
        command.args(["top", "--interval", "0.1"]);
        command.args(args);
        command.env_clear();
        command.env("HOME", home.path(""));
        command.env("TERM", "xterm-256color");
        command.env("AGENTOS_DATA_DIR", home.data());
        command.cwd(home.path(""));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let parser = vt100::Parser::new(NonZero::new(ROWS).unwrap(), NonZero::new(COLUMNS).unwrap(), 0);
        Self { child, master: pair.master, keys, bytes, parser, said: Vec::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Reads until the screen is as wanted; the screen.
    #[track_caller]
    fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let patience = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if is(&text) {
                return text;
            }
            assert!(Instant::now() < patience, "{what}:\n{text}");
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(50)) {
                self.parser.process(&bytes);
                self.said.extend(bytes);
            }
        }
    }

    #[track_caller]
    fn shows(&mut self, words: &str) -> String {
        self.until(words, |text| text.contains(words))
    }

    /// Waits for the end: the exit code. What it said is in `said`.
    fn end(&mut self) -> u32 {
        let patience = Instant::now() + PATIENCE;
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.exit_code();
            }
            assert!(Instant::now() < patience, "it goes on:\n{}", self.text());
            self.drain();
        };
        self.drain();
        code
    }

    fn drain(&mut self) {
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(50)) {
            self.parser.process(&bytes);
            self.said.extend(bytes);
        }
    }

    /// The terminal is as it was: the first screen, with a cursor.
    #[track_caller]
    fn is_restored(&self) {
        let screen = self.parser.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{}", self.text());
        let flags = self.master.get_termios().expect("a terminal").local_flags;
        let raw = ["ICANON", "ECHO"].map(|name| format!("{flags:?}").contains(name));
        assert_eq!(raw, [true, true], "{flags:?}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The row of a process: what a screen must show of it.
fn expected(process: &ProcessStatus) -> Vec<String> {
    let usage = &process.info.usage;
    let mut words = vec![process.info.pid.to_string(), process.info.name.clone()];
    words.extend(process.info.state.to_string().split(' ').map(str::to_owned));
    words.push(process.info.priority.to_string());
    words.extend(process.lag.map(|lag| sign(lag / 10)));
    words.push(format!("{:.1}s", process.info.waited.0 as f64 / 1000.0));
    words.extend([usage.steps, usage.calls, usage.tokens().0].map(thousands));
    words.push(usage.cost.to_string());
    words.extend(process.wait.iter().flat_map(|wait| wait.split(' ')).map(str::to_owned));
    words
}

fn sign(tokens: i64) -> String {
    let sign = if tokens > 0 {
        "+"
    } else if tokens < 0 {
        "-"
    } else {
        ""
    };
    format!("{sign}{}", thousands(tokens.unsigned_abs()))
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| std::str::from_utf8(group).unwrap()).collect::<Vec<_>>().join(",")
}

/// The rows on a screen by the name of their process, each as words.
fn rows(text: &str) -> HashMap<String, Vec<String>> {
    let rows = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    rows.filter(|words| words.get(1).is_some_and(|name| name.starts_with("agent-")))
        .map(|words| (words[1].clone(), words))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_agents_are_shown_as_they_are() {
    let world = World::new(AGENTS).await;
    let status = world.snapshot().await;
    assert_eq!(status.processes.len(), AGENTS);
    let by_name: HashMap<&str, &ProcessStatus> =
        status.processes.iter().map(|process| (process.info.name.as_str(), process)).collect();

    let mut screen = Screen::new(&world.home, &[]);
    let text = screen.shows("1,000 processes: 1,000 blocked");
    let tokens: u64 = status.processes.iter().map(|process| process.info.usage.tokens().0).sum();
    assert!(tokens > 30_000, "{tokens}");
    assert!(text.contains(&format!("{} tokens, ", thousands(tokens))), "{text}");
    assert!(text.contains("claude-sonnet-4-5: 0 of 8 slots held, 0 waiting, fair"), "{text}");
    assert!(text.contains(world.server.name()), "{text}");

    // By name, page by page: every agent is somewhere, with what the snapshot says of it.
    screen.press("SSSSSSSS");
    screen.shows("by PID");
    screen.press("s");
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    let mut first = 1;
    loop {
        let place = format!("{first}-");
        let is_there = |text: &str| text.lines().last().is_some_and(|line| line.starts_with(&place));
        let text = screen.until("a page", |text| is_there(text) && text.contains("by NAME"));
        seen.extend(rows(&text));
        let last = text.lines().last().unwrap().split(['-', ' ']).nth(1).unwrap().parse::<usize>().unwrap();
        if last == AGENTS {
            break;
        }
        let page = last + 1 - first;
        assert!(page > 25, "{text}");
        first = (last + 1).min(AGENTS + 1 - page);
        screen.press("\u{1b}[6~");
    }
    assert_eq!(seen.len(), AGENTS, "scrolled to the last");
    for (name, words) in &seen {
        assert_eq!(*words, expected(by_name[name.as_str()]), "{name}");
    }

    screen.press("\u{1b}[H/0777\r");
    let text = screen.shows("1-1 of 1, by NAME, names with 0777");
    assert_eq!(rows(&text).len(), 1, "{text}");
    screen.press("q");
    assert_eq!(screen.end(), 0);
    screen.is_restored();
    drop(world.server);
    assert_eq!(serve::sockets(&world.home.data()).unwrap(), [""; 0]);
}

/// Agents that hold slots, wait for one, for a rate, for a budget; and the limits that hold them up.
#[tokio::test(flavor = "multi_thread")]
async fn waits_held_slots_and_limits_are_shown() {
    let home = Home::new();
    std::fs::create_dir_all(home.data()).unwrap();
    let cpu = FnCpu::new(model_info("claude-sonnet-4-5"), |_| {
        Ok(Canned::text("Yes.").after(Duration::from_secs(3_600)))
    });
    let many = CpuLimits { requests: Some(Rate::a_minute(600)), tokens: None };
    let rate = RateLimit::new(RateUnit::Calls, 1, Millis(3_600_000)).unwrap().with_burst(1);
    let money = Budget { cost: Some(MicroUsd(7_000)), ..Budget::default() };
    let kernel = Kernel::builder()
        .cpu_within(cpu.with_slots(3), many)
        .keep_warm(false)
        .tenant("rated", Quota { rates: vec![rate], ..Quota::default() })
        .tenant("poor", Quota { budget: money, ..Quota::default() })
        .build()
        .await
        .unwrap();
    let server = serve_status(&kernel, &home.data()).unwrap();
    // Something goes on before the first agent is there, so that the run does.
    let sleep = ScriptStep { repeat: 1, calls: vec![Call::Sleep { ms: Millis(3_600_000) }] };
    let keeper = Script { step: vec![sleep], ..Script::default() }.spec("keeper").unwrap();
    kernel.spawn(keeper).await.unwrap();
    let run = async {
        // One after another, so that it is known who holds what.
        let mut told = Vec::new();
        for (number, tenant) in ["rated", "rated", "poor", "poor", "", "", ""].into_iter().enumerate() {
            let pid = kernel.spawn(Spec { tenant: tenant.to_owned(), ..agent(number) }).await.unwrap();
            loop {
                let status = kernel.snapshot().await.unwrap();
                let process = status.processes.iter().find(|process| process.info.pid == pid).unwrap();
                if process.slot.is_some() || process.waiting_since.is_some() {
                    told.push(process.wait.clone().unwrap());
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let model = "claude-sonnet-4-5";
        let waits = [
            model.to_owned(),
            format!("its rate: {model}"),
            model.to_owned(),
            format!("a budget that others hold: {model}"),
            model.to_owned(),
            format!("a slot of {model}"),
            format!("a slot of {model}"),
        ];
        assert_eq!(told, waits);
        // Tenths of a second are shown.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let screen = tokio::task::spawn_blocking(move || {
            let mut screen = Screen::new(&home, &[]);
            screen.shows("8 processes: 8 blocked");
            let text = screen.until("seven rows", |text| rows(text).len() == 7);
            screen.press("q");
            assert_eq!(screen.end(), 0);
            text
        });
        let text = screen.await.unwrap();
        assert!(
            text.contains(
                "claude-sonnet-4-5: 3 of 3 slots held, 2 waiting, fair; requests at once, 600 a minute: "
            ),
            "{text}"
        );
        assert!(text.contains("tenant rated: calls at once, 1 in 3600 s: 0 of 1 left"), "{text}");
        assert!(text.contains("tenant poor: millionths of a dollar: "), "{text}");
        let rows = rows(&text);
        let status = kernel.snapshot().await.unwrap();
        for process in status.processes.iter().filter(|process| process.info.name != "keeper") {
            let wait = &waits[process.info.name["agent-".len()..].parse::<usize>().unwrap()];
            let row = &rows[&process.info.name];
            let shown = row.join(" ");
            assert!(shown.contains(&wait[..wait.len().min(20)]), "{shown}: {wait}");
            let waited: f64 = row.iter().find_map(|word| word.strip_suffix('s')?.parse().ok()).unwrap();
            assert_eq!(waited > 0.0, process.waiting_since.is_some(), "{shown}");
        }
        for process in &status.processes {
            kernel.signal(process.info.pid, Signal::Kill).await.unwrap();
        }
    };
    let (ran, ()) = tokio::join!(kernel.run_until(Until::Idle), run);
    ran.unwrap();
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_shown_at_the_next_refresh() {
    let world = World::new(30).await;
    let mut screen = Screen::new(&world.home, &[]);
    screen.shows("30 processes: 30 blocked");
    let pid = world.pids[7];
    let before = world.kernel.process(pid).await.unwrap();
    world.kernel.send(pid, "go on").await.unwrap();
    world.kernel.run_until(Until::Idle).await.unwrap();
    let after = world.kernel.process(pid).await.unwrap();
    assert!(after.usage.tokens() > before.usage.tokens());
    let of = |status: &KernelStatus, pid: Pid| {
        status.processes.iter().find(|process| process.info.pid == pid).cloned().unwrap()
    };
    let row = expected(&of(&world.snapshot().await, pid));
    screen.until("the new figures", |text| rows(text).get("agent-0007") == Some(&row));

    screen.press("p");
    screen.shows("PAUSED");
    world.kernel.signal(pid, Signal::Kill).await.unwrap();
    world.kernel.run_until(Until::Idle).await.unwrap();
    assert!(matches!(of(&world.snapshot().await, pid).info.state, ProcessState::Exited(_)));
    std::thread::sleep(Duration::from_millis(400));
    screen.drain();
    assert!(screen.text().contains("30 blocked"), "{}", screen.text());
    screen.press("p");
    let text = screen.shows("29 blocked, 1 exited");
    assert!(text.contains("exited (killed by KILL)"), "{text}");

    screen.press("r");
    screen.shows("by TOKENS reversed");
    screen.press("?");
    screen.shows("sort by next, previous column");
    screen.press("x");
    screen.until("no help", |text| !text.contains("sort by next"));
    // It is drawn anew in any size, and is there when the terminal grows again.
    for (rows, cols) in [(1, 1), (3, 20), (ROWS, COLUMNS)] {
        screen.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    screen.drain();
    screen.press("/nobody");
    screen.shows("names with: nobody");
    screen.press("\u{3}");
    assert_eq!(screen.end(), 0);
    screen.is_restored();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_and_a_kernel_that_ends_leave_a_good_terminal() {
    let world = World::new(3).await;
    let mut screen = Screen::new(&world.home, &[]);
    screen.shows("3 processes");
    // The kernel stops before its socket does, then both are gone.
    world.kernel.shutdown().await.unwrap();
    screen.shows("kernel-");
    screen.shows("no kernel runs on");
    drop(world.server);
    screen.until("no notes but that", |text| !text.contains(".sock"));
    let id = screen.child.process_id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(screen.end(), 130);
    screen.is_restored();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_and_objects_without_a_terminal() {
    let world = World::new(20).await;
    let status = world.snapshot().await;
    let table = world.home.run(&["top"]).ok().stdout;
    assert!(table.contains("20 processes: 20 blocked"), "{table}");
    let shown = rows(&table);
    for process in &status.processes {
        assert_eq!(shown[&process.info.name], expected(process));
    }
    let object = world.home.run(&["top", "--once", "--json"]).ok().json();
    assert_eq!(object["running"], true);
    assert_eq!(object["cpus"], json!(status.cpus));
    assert_eq!(object["processes"], json!(status.processes));
    assert_eq!(object["totals"]["states"], json!({ "blocked": 20 }));

    // Objects until nobody reads them.
    let mut child = world.home.agentos(&["top", "--json", "--interval", "0.1"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (next()["totals"]["tokens_per_second"].clone(), next()["totals"]["tokens_per_second"].clone()),
        (json!(null), json!(0))
    );
    drop(lines);
    assert!(child.wait().unwrap().success());
}

#[test]
fn where_no_kernel_runs_the_store_is_shown() {
    let home = Home::new();
    let none = home.run(&["top"]).ok().stdout;
    assert!(none.contains("it has no store yet") && none.contains("0 processes: none"), "{none}");
    assert!(!home.data().exists(), "nothing is made");
    let pid = home.ask(ANSWER, &["--max-steps", "1"]).fails(3, &[]).pid();
    let table = home.run(&["top", "--once"]).ok().stdout;
    assert!(table.contains("no kernel runs on") && table.contains("what its store has"), "{table}");
    assert!(table.contains(&pid) && table.contains("suspended (limit of steps)"), "{table}");
    let object = home.run(&["top", "--once", "--json"]).ok().json();
    assert_eq!((&object["running"], &object["processes"][0]["pid"]), (&json!(false), &json!(pid)));
    for wrong in ["0", "0.01", "4000", "x", "NaN", "-1"] {
        home.run(&["top", "--interval", wrong]).fails(2, &["--interval"]);
    }
}

#[test]
fn a_run_is_seen_and_leaves_no_socket() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\ntext = \"Twelve.\"\ndelay_ms = 3000\n");
    let running = home.start(&["run", "--cpu", &cpu, "How many?"]);
    let patience = Instant::now() + PATIENCE;
    let object = loop {
        let object = home.run(&["top", "--once", "--json"]).ok().json();
        if object["cpus"][0]["held"] == 1 {
            break object;
        }
        assert!(Instant::now() < patience, "{object}");
    };
    assert_eq!(object["processes"][0]["pid"], running.pid.as_str());
    assert_eq!(object["processes"][0]["slot"], 0);
    let socket = home.data().join(object["kernels"][0].as_str().unwrap());
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    running.wait().ok();
    assert_eq!(serve::sockets(&home.data()).unwrap(), [""; 0]);
}

#[test]
fn a_killed_kernels_socket_is_recognised_and_removed() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\ntext = \"Twelve.\"\ndelay_ms = 60000\n");
    let mut running = home.start(&["run", "--cpu", &cpu, "How many?"]);
    assert_eq!(home.run(&["top", "--once", "--json"]).ok().json()["running"], true);
    running.kill();
    assert_eq!(serve::sockets(&home.data()).unwrap().len(), 1, "kill -9 leaves it");
    let object = home.run(&["top", "--once", "--json"]).ok().json();
    assert_eq!((&object["running"], &object["notes"].as_array().unwrap().len()), (&json!(false), &1));
    assert_eq!(object["processes"][0]["pid"], running.pid.as_str(), "from the store");
    assert_eq!(serve::sockets(&home.data()).unwrap(), [""; 0]);
}

#[test]
fn garbage_on_a_socket_is_said_and_harms_nobody() {
    let home = Home::new();
    std::fs::create_dir_all(home.data()).unwrap();
    let odd: [&'static [u8]; 3] = [b"\0\x1b[31mhello\n", b"{\"status\":{\"at\":1}}\n", b""];
    let listeners = odd.into_iter().enumerate().map(|(number, answer)| {
        let listener = UnixListener::bind(home.data().join(format!("kernel-{number}.sock"))).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                drop(stream.write_all(answer));
            }
        })
    });
    let listeners: Vec<_> = listeners.collect();
    // A file of that name that is no socket is left alone.
    std::fs::write(home.data().join("kernel-9.sock"), "mine").unwrap();
    let table = home.run(&["top"]).ok().stdout;
    for name in ["kernel-0.sock: ", "kernel-1.sock: ", "kernel-2.sock: ", "no kernel runs on"] {
        assert!(table.contains(name), "{table}");
    }
    assert!(!table.contains('\u{1b}') && !table.contains('\0'), "{table:?}");
    assert_eq!(std::fs::read(home.data().join("kernel-9.sock")).unwrap(), b"mine");
    drop(listeners);
}

/// What a client may do to a server: nothing.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_holds_a_kernel_up() {
    let world = World::new(2).await;
    let path = world.home.data().join(world.server.name());
    let talk = |request: Vec<u8>| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // The server may have hung up before the end of it.
            drop(stream.write_all(&request));
            let mut answer = String::new();
            drop(BufReader::new(stream).read_line(&mut answer));
            answer
        })
    };
    for wrong in ["nonsense\n", "{}\n", "{\"stop\":{}}\n", "\u{0}\n"] {
        let answer = talk(wrong.as_bytes().to_vec()).await.unwrap();
        assert!(answer.contains("\"error\":\"not a request"), "{wrong:?}: {answer:?}");
    }
    // An endless line is cut; it may be answered or just hung up on.
    assert!(!talk(vec![b'x'; 1 << 20]).await.unwrap().contains("status"));
    // So many that say nothing: a further one is turned away, and the kernel is none the wiser.
    let silent: Vec<_> = (0..40).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect();
    let turned_away = serve::ask_status(&world.home.data(), world.server.name()).await;
    assert!(turned_away.is_err(), "{turned_away:?}");
    assert_eq!(world.snapshot().await.processes.len(), 2);
    drop(silent);
    let patience = Instant::now() + PATIENCE;
    while serve::ask_status(&world.home.data(), world.server.name()).await.is_err() {
        assert!(Instant::now() < patience);
    }
    let World { kernel, server, home: _home, .. } = world;
    let before = Instant::now();
    let idle = std::os::unix::net::UnixStream::connect(&path).unwrap();
    kernel.shutdown().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(4), "a client does not hold the end up");
    drop((server, idle));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_and_two_kernels_in_one_folder() {
    let home = Home::new();
    let deep: PathBuf =
        std::iter::once(home.data()).chain((0..6).map(|n| format!("{n}").repeat(40).into())).collect();
    std::fs::create_dir_all(&deep).unwrap();
    let mut kernels = Vec::new();
    for _ in 0..2 {
        let kernel = Kernel::builder().build().await.unwrap();
        let server = serve_status(&kernel, &deep).unwrap();
        kernel.spawn(sleeper()).await.unwrap();
        kernels.push((kernel, server));
    }
    let ended = tokio::task::spawn_blocking(move || {
        let mut command = home.agentos(&["top", "--once", "--json"]);
        let ended = crate::home::end(command.env("AGENTOS_DATA_DIR", &deep).stdin(Stdio::null()));
        (ended, home)
    });
    let (ended, _home) = ended.await.unwrap();
    let object = ended.ok().json();
    assert_eq!(object["kernels"].as_array().unwrap().len(), 2, "{object}");
    assert_eq!(object["processes"].as_array().unwrap().len(), 2);
}

fn sleeper() -> Spec {
    Script::once(vec![Call::Sleep { ms: Millis(60_000) }]).spec("sleeper").unwrap()
}
