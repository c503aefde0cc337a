//! Laws about what a Cpu says of itself and how it refuses.

use std::collections::BTreeSet;

use kernel_types::{Retry, Tokens};

use super::prompts::{question, request};
use super::{Subject, Watch};
use crate::{Cpu, CpuError, CpuErrorKind};

/// There is a model, names differ, windows hold at least one answer; there is a slot.
pub async fn models_and_slots_are_sane<C: Cpu>(subject: &Subject<C>) {
    let models = subject.cpu.models();
    assert!(!models.is_empty(), "no model");
    let names: BTreeSet<&str> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names.len(), models.len(), "two models of one name");
    for model in &models {
        assert!(!model.name.is_empty(), "a model without a name");
        assert!(model.max_output > Tokens(0), "{} may say nothing", model.name);
        assert!(model.window >= model.max_output, "{} may say more than its window holds", model.name);
    }
    assert!(subject.cpu.slots() > 0, "no slot");
    assert_eq!(models, subject.cpu.models(), "models change between two calls");
}

/// A Cpu that works says so.
pub async fn health_says_it_works<C: Cpu>(subject: &Subject<C>) {
    if let Err(error) = subject.cpu.health().await {
        panic!("not healthy: {error}");
    }
}

async fn refusal<C: Cpu>(subject: &Subject<C>) -> CpuError {
    let mut ask = request(&subject.cpu, question(), 2, 0);
    ask.model = "no-such-model".to_owned();
    let watch = Watch::default();
    match subject.ask(ask, &watch).await {
        Err(error) => error,
        Ok(answer) => panic!("an unknown model answered {:?}", answer.text()),
    }
}

/// A model that is not offered is refused, for good, by its own kind of error that names it.
pub async fn unknown_models_are_refused<C: Cpu>(subject: &Subject<C>) {
    let error = refusal(subject).await;
    assert_eq!(error.kind(), CpuErrorKind::UnknownModel, "{error}");
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert!(error.to_string().contains("no-such-model"), "the error does not name the model: {error}");
}

/// After a refused call the next one works.
pub async fn a_refused_call_harms_no_other<C: Cpu>(subject: &Subject<C>) {
    refusal(subject).await;
    subject.answer(request(&subject.cpu, question(), 2, 1)).await;
}

/// The subject's secret is in no error, neither printed nor debugged, and in no answer. Only for subjects with one.
pub async fn errors_and_answers_hold_no_key<C: Cpu>(subject: &Subject<C>) {
    let Some(secret) = subject.secret.as_deref() else { return };
    let error = refusal(subject).await;
    let (answer, watch) = subject.answer(request(&subject.cpu, question(), 8, 1)).await;
    let shown = [format!("{error} {error:?}"), format!("{answer:?}"), format!("{watch:?}")];
    for text in shown {
        assert!(!text.contains(secret), "the key shows in {:?}", text.replace(secret, "[THE KEY]"));
    }
}
