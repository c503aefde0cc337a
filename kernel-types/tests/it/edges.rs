//! The edges between our crates and what each crate pulls in, as cargo sees them.
//!
//! A subsystem depends on kernel-types and on no other crate of ours, dev-dependencies included: whoever needs only a fair
//! scheduler gets no tokio, no SQL, no HTTP.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

const SUBSYSTEMS: [&str; 6] =
    ["kernel-context", "kernel-sched", "kernel-storage", "kernel-tools", "kernel-security", "kernel-llm"];

/// Policy and data: synchronous, no I/O.
const SANS_IO: [&str; 3] = ["kernel-types", "kernel-context", "kernel-sched"];

/// An edge between two crates of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
    features: Vec<String>,
}

/// Why an edge must not be, if so.
fn forbidden(edge: &Edge) -> Option<String> {
    let Edge { from, to, dev, features } = edge;
    if from == to {
        let testing = *dev && features.iter().any(|feature| feature == "conformance");
        return (!testing).then(|| format!("{from} depends on itself for something else than its own laws"));
    }
    let allowed = match from.as_str() {
        "kernel-types" => false,
        "kernel" => to != "benches",
        "benches" => true,
        _ => to == "kernel-types",
    };
    (!allowed).then(|| format!("{from} depends on {to}"))
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .features(cargo_metadata::CargoOpt::AllFeatures);
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        // Without this cargo fetches the sources of every other platform's dependencies too.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        command.other_options(["--filter-platform".to_owned(), platform]);
    }
    command.exec().expect("cargo reads the workspace")
}

fn edges(metadata: &Metadata) -> Vec<Edge> {
    let ours: BTreeSet<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let mut edges = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|dependency| ours.contains(&dependency.name)) {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                dev: dependency.kind == DependencyKind::Development,
                features: dependency.features.clone(),
            });
        }
    }
    edges
}

/// All that a crate of ours pulls in, itself excluded: its own dev-dependencies count, those of others do not.
fn tree(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let packages: HashMap<&PackageId, &Package> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let resolve = metadata.resolve.as_ref().expect("cargo resolves the workspace");
    let nodes: HashMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let start = metadata.workspace_packages().into_iter().find(|p| *p.name == root).expect("a crate of ours");
    let mut seen = BTreeSet::from([&start.id]);
    let mut queue = VecDeque::from([&start.id]);
    while let Some(id) = queue.pop_front() {
        for dependency in &nodes[id].deps {
            let dev_only = dependency.dep_kinds.iter().all(|kind| kind.kind == DependencyKind::Development);
            if (!dev_only || *id == start.id) && seen.insert(&dependency.pkg) {
                queue.push_back(&dependency.pkg);
            }
        }
    }
    seen.into_iter().filter(|id| **id != start.id).map(|id| packages[id].name.to_string()).collect()
}

#[test]
fn no_crate_depends_on_one_it_must_not_know() {
    let found = edges(&metadata());
    assert!(
        found.iter().any(|edge| edge.from == "kernel" && edge.to == "kernel-sched"),
        "edges are seen at all"
    );
    let wrong: Vec<String> = found.iter().filter_map(forbidden).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_of_the_design_is_there() {
    let metadata = metadata();
    let found: BTreeSet<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let mut expected: BTreeSet<String> = SUBSYSTEMS.iter().map(|name| (*name).to_owned()).collect();
    expected.extend(["kernel-types", "kernel", "benches"].map(str::to_owned));
    assert_eq!(found, expected, "a new crate needs its rule in `forbidden`");
}

#[test]
fn a_forbidden_edge_is_named() {
    let edge = |from: &str, to: &str, dev, features: &[&str]| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        dev,
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
    };
    let refused = [
        edge("kernel-sched", "kernel-storage", false, &[]),
        edge("kernel-sched", "kernel-storage", true, &[]),
        edge("kernel-tools", "kernel-security", true, &["conformance"]),
        edge("kernel-context", "kernel", true, &[]),
        edge("kernel-types", "kernel-sched", true, &[]),
        edge("kernel", "benches", true, &[]),
        edge("kernel-llm", "kernel-llm", true, &["local"]),
        edge("kernel-llm", "kernel-llm", false, &["conformance"]),
    ];
    for edge in refused {
        assert!(forbidden(&edge).is_some_and(|why| why.contains(&edge.from)), "{edge:?}");
    }
    let allowed = [
        edge("kernel-sched", "kernel-types", false, &[]),
        edge("kernel-sched", "kernel-sched", true, &["conformance"]),
        edge("kernel", "kernel-llm", false, &[]),
        edge("benches", "kernel", false, &[]),
    ];
    for edge in allowed {
        assert_eq!(forbidden(&edge), None, "{edge:?}");
    }
}

#[test]
fn policy_and_data_pull_in_no_runtime_no_sql_and_no_http() {
    let metadata = metadata();
    let heavy = ["tokio", "async-trait", "sqlx", "sqlx-core", "reqwest", "hyper", "mio"];
    for name in SANS_IO {
        let tree = tree(&metadata, name);
        let found: Vec<&&str> = heavy.iter().filter(|heavy| tree.contains(**heavy)).collect();
        assert!(found.is_empty(), "{name} pulls in {found:?}");
    }
    // The same walk finds them where they belong.
    assert!(tree(&metadata, "kernel").contains("tokio"));
    assert!(tree(&metadata, "kernel-llm").contains("reqwest"));
}

#[test]
fn each_device_crate_pulls_in_its_own_kind_of_device_only() {
    let metadata = metadata();
    for (name, heavy) in [
        ("kernel-storage", ["reqwest", "hyper"]),
        ("kernel-tools", ["sqlx", "libsqlite3-sys"]),
        ("kernel-security", ["sqlx", "reqwest"]),
        ("kernel-llm", ["sqlx", "libsqlite3-sys"]),
    ] {
        let tree = tree(&metadata, name);
        assert!(heavy.iter().all(|heavy| !tree.contains(*heavy)), "{name} pulls in one of {heavy:?}");
    }
}

/// `context_retrieval.rs` is about a part of kernel-context.
#[test]
fn each_bench_names_its_own_crate_only() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/benches");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the benches are there") {
        let path = entry.expect("a readable folder").path();
        let subject = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        if subject == "kernel"
            || subject.starts_with("kernel_")
            || path.extension().is_none_or(|ending| ending != "rs")
        {
            continue;
        }
        seen += 1;
        let subject = subject.split('_').next().unwrap_or_default();
        let source = std::fs::read_to_string(&path).expect("a source file");
        let own = format!("kernel_{subject}");
        for other in SUBSYSTEMS.map(|name| name.replace('-', "_")).iter().filter(|name| **name != own) {
            assert!(!source.contains(other.as_str()), "{} names {other}", path.display());
        }
        assert!(!source.contains("use kernel::"), "{} names the kernel", path.display());
    }
    println!("{seen} benches looked at");
}
