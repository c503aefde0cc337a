//! `fork` and `restore` as programs call them.

use kernel::mediation::entries;
use kernel::{Input, Program, ProgramError, ProgramFactory, Saved, Step};
use kernel_storage::MemoryStore;
use kernel_types::{
    Answer, Budget, Call, Capabilities, ErrorKind, Event, ExitStatus, PageNo, ProcessState, Reply, Spec,
    StepNo, WaitArgs,
};
use serde::{Deserialize, Serialize};

use crate::world::{PRICED, World, get, infer, page, put, script, tool};

fn ended(state: &ProcessState) -> String {
    match state {
        ProcessState::Exited(ExitStatus::Ok(answer)) => answer.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fork_is_a_child_with_the_state_the_pages_and_the_values() {
    let world = World::new().await;
    let steps = vec![
        vec![page("A page."), put("a", "1")],
        vec![Call::Fork, tool("echo"), Call::Now],
        vec![get("a"), Call::PageRead { page: PageNo(1) }, put("a", "2")],
        vec![Call::Wait(WaitArgs::default())],
        vec![get("a")],
    ];
    let parent = world.spawn(steps).await;
    world.run().await;
    let child = world.child_of(parent).await;
    assert_eq!(world.info(child).await.parent, parent);
    let of_parent = world.results(parent).await;
    assert_eq!(of_parent[&(2, 0)], Ok(Answer::Pid(child)));
    assert!(matches!(&of_parent[&(4, 0)], Ok(Answer::Exited { pid, .. }) if *pid == child), "it is reaped");
    let of_child = world.results(child).await;
    assert!(of_child.keys().all(|(step, _)| *step >= 2), "what was before is the parent's: {of_child:?}");
    assert_eq!(of_child[&(3, 0)], Ok(Answer::Value(Some("1".to_owned()))));
    let Ok(Answer::Page(read)) = &of_child[&(3, 1)] else { panic!("{of_child:?}") };
    assert_eq!(&*read.text, "A page.");
    assert_eq!(of_child[&(4, 0)].as_ref().unwrap_err().kind, ErrorKind::NotFound, "it has no child");
    let told = entries(&*world.kernel.store(), child).await.into_iter().find_map(|entry| match entry.event {
        Event::Forked { of, results } => Some((of, results)),
        _ => None,
    });
    let (of, results) = told.expect("its journal says what it is a fork of");
    assert_eq!((of.pid, of.step), (parent, StepNo(2)));
    assert_eq!(results[0], Some(Ok(Answer::Forked { from: parent })));
    assert_eq!(results[2], of_parent[&(2, 2)].clone().into(), "local calls are not made twice");
    world.end().await;
}

#[tokio::test]
async fn a_fork_has_half_of_what_is_left_and_its_parent_the_rest() {
    let world = World::new().await;
    let budget = Budget { calls: Some(7), children: Some(1), ..Budget::default() };
    let forks = world.limited(vec![vec![Call::Fork], vec![Call::Fork]], budget).await;
    world.run().await;
    let child = world.child_of(forks).await;
    assert_eq!(world.info(child).await.budget.calls, Some(3));
    assert_eq!(world.info(child).await.budget.children, Some(0));
    let second = world.results(forks).await[&(2, 0)].clone().unwrap_err();
    assert_eq!(second.kind, ErrorKind::Busy, "{second}");
    world.end().await;
    let world = World::new().await;
    let only = Some(Capabilities { calls: vec!["put".to_owned()], ..Capabilities::all() });
    let denied = world.start(Spec { capabilities: only, ..script(vec![vec![Call::Fork]]) }).await;
    world.run().await;
    assert_eq!(world.results(denied).await[&(1, 0)].as_ref().unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(world.kernel.status().await.unwrap().len(), 1);
    world.end().await;
}

/// Keeps a moment, changes things, goes back once, and says what it found.
struct ReturningFactory;

#[derive(Serialize, Deserialize)]
struct Returning {
    at: u32,
}

impl ProgramFactory for ReturningFactory {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Returning { at: 0 }))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Returning>(1).map(|program| Box::new(program) as Box<dyn Program>)
    }
}

impl Program for Returning {
    fn step(&mut self, input: Input) -> Step {
        let replies: Vec<Reply> = if let Input::Replies(replies) = input { replies } else { Vec::new() };
        let back = replies.iter().any(|reply| matches!(reply.result, Ok(Answer::Restored { .. })));
        self.at += 1;
        let restore = || Call::Restore { name: "here".to_owned() };
        match (back, self.at) {
            (true, 3) => Step::Calls(vec![
                get("a"),
                Call::PageRead { page: PageNo(1) },
                Call::PageRead { page: PageNo(2) },
            ]),
            (_, 1) => Step::Calls(vec![page("The first."), put("a", "before")]),
            (_, 2) => Step::call(Call::Checkpoint { name: "here".to_owned() }),
            (_, 3) => {
                Step::Calls(vec![page("The second."), put("a", "after"), put("b", "new"), infer(PRICED)])
            }
            (_, 4) if replies.len() == 4 => Step::Calls(vec![restore(), tool("hang")]),
            _ => {
                let found: Vec<bool> = replies.iter().map(|reply| reply.result.is_ok()).collect();
                Step::Exit(ExitStatus::Ok(format!("{found:?} {:?}", replies[0].result)))
            }
        }
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}

#[tokio::test]
async fn who_goes_back_has_what_it_had_then_and_has_spent_what_it_spent() {
    let world = World::with(|builder| builder.program("returning", ReturningFactory)).await;
    let pid = world.start(Spec { program: "returning".to_owned(), ..Spec::default() }).await;
    world.run().await;
    let info = world.info(pid).await;
    assert_eq!(ended(&info.state), "[true, true, false] Ok(Value(Some(\"before\")))");
    assert_eq!(info.usage.calls, 2, "the inference and the tool that hung stay spent");
    let results = world.results(pid).await;
    assert_eq!(results[&(4, 0)], Ok(Answer::Done));
    assert_eq!(results[&(4, 1)].as_ref().unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(world.kernel.store().values(pid).await.unwrap(), [("a".to_owned(), "before".to_owned())]);
    let back = entries(&*world.kernel.store(), pid).await.into_iter().filter_map(|entry| match entry.event {
        Event::Restored { to, from, .. } => Some((to.step, from)),
        _ => None,
    });
    assert_eq!(back.collect::<Vec<_>>(), [(StepNo(2), StepNo(4))]);
    world.end().await;
}

#[tokio::test]
async fn what_was_not_kept_cannot_be_gone_back_to() {
    let world = World::new().await;
    let error = world.refused(Call::Restore { name: "nowhere".to_owned() }).await;
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("nowhere"), "{error}");
    world.end().await;
}

/// The kernel is stopped after each number of steps; another goes on. Both calls end once and have their effect once.
#[tokio::test]
async fn forks_and_returns_outlive_their_kernel() {
    for steps in 1..9 {
        let store = MemoryStore::new();
        let on = async || {
            World::with(|builder| builder.store(store.clone()).program("returning", ReturningFactory)).await
        };
        let world = on().await;
        let returning = world.start(Spec { program: "returning".to_owned(), ..Spec::default() }).await;
        let forks = world.spawn(vec![vec![Call::Fork], vec![Call::Now], vec![Call::Now]]).await;
        let run = world.kernel.run_until(kernel::Until::Steps(steps));
        // A tool hangs in between: then the steps are not all made.
        tokio::time::timeout(std::time::Duration::from_millis(300), run).await.map(Result::unwrap).ok();
        drop(world);
        let world = on().await;
        world.kernel.recover().await.unwrap();
        world.run().await;
        let all = world.kernel.store().agents(None, false, 10).await.unwrap();
        assert_eq!(all.len(), 3, "after {steps} steps there is one fork");
        let row = world.kernel.store().agent(returning).await.unwrap().unwrap();
        assert!(row.exited, "after {steps} steps");
        let journal = entries(&*world.kernel.store(), returning).await;
        let back = journal.iter().filter(|entry| matches!(entry.event, Event::Restored { .. })).count();
        assert_eq!(back, 1, "after {steps} steps it went back once");
        assert!(world.results(forks).await[&(1, 0)].is_ok());
        world.end().await;
    }
}
