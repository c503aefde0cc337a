//! `agentos kill`: posts a signal, beside a running kernel too.

use kernel::post_mail;
use kernel_types::{MailBody, Signal};
use serde_json::json;

use crate::args::{Global, KillArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::ui::Ui;

pub(crate) async fn kill(global: &Global, args: &KillArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, &args.pid).await?;
    let (pid, signal) = (row.pid, if args.nine { Signal::Kill } else { args.signal });
    if row.exited {
        return Err(Failure::new(Exit::BadInput, format!("process {pid} has ended"))
            .hint("there is nothing to signal"));
    }
    post_mail(&store, pid, MailBody::Signal(signal)).await?;
    store.close().await?;
    if ui.json {
        output::line(&json!({ "pid": pid, "signal": signal, "posted": true }).to_string())?;
    } else {
        output::line(&format!(
            "{signal} posted to {pid}; it is acted on as soon as a kernel runs the process"
        ))?;
    }
    Ok(Exit::Ok)
}
