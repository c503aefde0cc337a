//! `agentos audit verify`.

use kernel::StoreAudit;
use kernel_security::{Finding, Report};
use serde_json::json;

use crate::args::{Global, VerifyArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::format::counted;
use crate::output;
use crate::ui::Ui;

pub(crate) async fn verify(global: &Global, args: &VerifyArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (store, only) = match &args.pid {
        Some(pid) => {
            let (store, row) = data::attach_for(global, pid).await?;
            (store, Some(row.pid))
        }
        None => (data::attach_existing(global).await?, None),
    };
    let progress = |report: &Report| {
        ui.spin(format!("checked {}, {}", counted(report.records, "record"), counted(report.blobs, "blob")));
    };
    let verified = kernel_security::verify(&StoreAudit(&store), &progress).await;
    let mut report = verified.map_err(|error| {
        Failure::new(Exit::BadInput, error.to_string())
            .hint("a row that cannot be read was changed or is damaged; what comes after it was not checked")
    })?;
    ui.quiet();
    // A body may be shared: what is wrong with one concerns everyone.
    let concerns = |finding: &Finding| only.is_none() || finding.pid.is_none() || finding.pid == only;
    report.findings.retain(concerns);
    // Nothing erases bodies yet: one that is gone was taken out by somebody.
    let strays = store.strays().await.map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
    let strays: Vec<_> = strays.into_iter().filter(|pid| only.is_none_or(|only| only == *pid)).collect();
    let clean = report.is_clean() && report.erased == 0 && strays.is_empty();
    if ui.json {
        let mut object = json!({ "clean": clean, "report": report, "rows_removed": strays });
        if let Some(pid) = only {
            object["pid"] = json!(pid);
        }
        output::line(&object.to_string())?;
    } else {
        for finding in &report.findings {
            output::line(&finding.to_string())?;
        }
        for pid in &strays {
            output::line(&format!("agent {pid}: row removed, its records are still there"))?;
        }
        if report.erased > 0 {
            output::line(&format!("event: {} erased", counted(report.erased, "body")))?;
        }
        let checked = format!(
            "{}, {}, {} checked",
            counted(report.agents, "agent"),
            counted(report.records, "record"),
            counted(report.blobs, "blob")
        );
        let verdict = if clean {
            "all is well".to_owned()
        } else {
            counted(
                report.findings.len() as u64 + strays.len() as u64 + u64::from(report.erased > 0),
                "finding",
            )
        };
        output::line(&format!("{checked}: {verdict}"))?;
    }
    Ok(if clean { Exit::Ok } else { Exit::BadInput })
}
