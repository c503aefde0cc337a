//! Cpus with one seeded defect each: the law that names the defect must fail, or the suite proves nothing.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_llm::conformance::{self as laws, Subject};
use kernel_llm::{Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest, Scripted};
use kernel_types::{CallKey, Inference, JsonText, ModelInfo, Part, Seq, TokenUsage, Tokens};

use crate::conformance::scripted_subject;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    None,
    DropsAMessage,
    StreamsOtherText,
    ReportsNoUsage,
    LeaksItsKey,
    IgnoresTheLimit,
    TakesAnyModel,
    RepeatsToolIds,
    SendsArgumentsAsText,
    MixesCalls,
    NeverCaches,
    HasNoSlots,
    IsSick,
    StaysBroken,
}

struct Broken {
    inner: Scripted,
    defect: Defect,
    has_refused: std::sync::atomic::AtomicBool,
}

/// Streams to another call or other text.
struct Skewed<'a>(&'a dyn DeltaSink, Defect);

impl DeltaSink for Skewed<'_> {
    fn delta(&self, key: CallKey, text: &str) {
        match self.1 {
            Defect::StreamsOtherText => self.0.delta(key, &text.to_uppercase()),
            Defect::MixesCalls => self.0.delta(CallKey { seq: Seq(key.seq.0 / 2), ..key }, text),
            _ => self.0.delta(key, text),
        }
    }
}

#[async_trait]
impl Cpu for Broken {
    fn models(&self) -> Vec<ModelInfo> {
        self.inner.models()
    }

    fn slots(&self) -> u32 {
        if self.defect == Defect::HasNoSlots { 0 } else { self.inner.slots() }
    }

    async fn infer(&self, mut request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let is_known = self.models().iter().any(|model| model.name == request.model);
        let refused = &self.has_refused;
        if self.defect == Defect::StaysBroken && refused.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(CpuError::new(CpuErrorKind::Broken, "broken", "still broken"));
        }
        refused.store(!is_known, std::sync::atomic::Ordering::SeqCst);
        match self.defect {
            Defect::DropsAMessage if request.prompt.messages.len() > 1 => {
                Arc::make_mut(&mut request.prompt).messages.remove(1);
            }
            Defect::LeaksItsKey if !is_known => {
                let message = format!("no model {} for key sk-never-shown", request.model);
                return Err(CpuError::new(CpuErrorKind::UnknownModel, "broken", message));
            }
            Defect::IgnoresTheLimit => request.max_output = Tokens(500),
            Defect::TakesAnyModel => request.model = self.models()[0].name.clone(),
            _ => {}
        }
        let mut answer = self.inner.infer(request, &Skewed(sink, self.defect)).await?;
        match self.defect {
            Defect::ReportsNoUsage => answer.usage = TokenUsage::default(),
            Defect::NeverCaches => answer.usage.cached = Tokens(0),
            _ => {}
        }
        for part in &mut answer.parts {
            match part {
                Part::ToolCall { id, .. } if self.defect == Defect::RepeatsToolIds => *id = "call".to_owned(),
                Part::ToolCall { args, .. } if self.defect == Defect::SendsArgumentsAsText => {
                    *args = JsonText::parse(r#""a=2""#).unwrap();
                }
                _ => {}
            }
        }
        Ok(answer)
    }

    async fn health(&self) -> Result<(), CpuError> {
        match self.defect {
            Defect::IsSick => Err(CpuError::new(CpuErrorKind::Unreachable, "broken", "sick")),
            _ => Ok(()),
        }
    }
}

async fn subject(defect: Defect) -> Subject<Broken> {
    let Subject { cpu, calls_tools, secret, patience, guard } = scripted_subject().await;
    let cpu = Broken { inner: cpu, defect, has_refused: false.into() };
    Subject { cpu, calls_tools, secret, patience, guard }
}

/// The law holds for the same Cpu without the defect, and fails with it.
macro_rules! fails {
    ($($test:ident: $defect:ident => $law:ident;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                laws::$law(&subject(Defect::None).await).await;
                let run = tokio::spawn(async { laws::$law(&subject(Defect::$defect).await).await });
                assert!(run.await.is_err_and(|end| end.is_panic()), "the law did not notice");
            }
        )*
    };
}

fails! {
    a_dropped_message_is_noticed: DropsAMessage => every_message_counts;
    other_text_in_the_stream_is_noticed: StreamsOtherText => deltas_join_to_the_text;
    missing_usage_is_noticed: ReportsNoUsage => usage_is_reported;
    a_leaked_key_is_noticed: LeaksItsKey => errors_and_answers_hold_no_key;
    an_ignored_limit_is_noticed: IgnoresTheLimit => max_output_is_respected;
    an_unknown_model_taken_is_noticed: TakesAnyModel => unknown_models_are_refused;
    repeated_tool_ids_are_noticed: RepeatsToolIds => tool_calls_have_unique_ids_and_object_arguments;
    arguments_as_text_are_noticed: SendsArgumentsAsText => tool_calls_have_unique_ids_and_object_arguments;
    mixed_calls_are_noticed: MixesCalls => parallel_calls_do_not_mix;
    a_cache_that_is_claimed_only_is_noticed: NeverCaches => a_repeated_prompt_is_read_from_the_cache;
    no_slot_is_noticed: HasNoSlots => models_and_slots_are_sane;
    sickness_is_noticed: IsSick => health_says_it_works;
    harm_by_a_refused_call_is_noticed: StaysBroken => a_refused_call_harms_no_other;
}
