//! Factual questions over `/usr/share/common-licenses`, and the lines that answer them.

/// The folder, larger than the window of the models it is asked about with.
pub(crate) const FOLDER: &str = "/usr/share/common-licenses";

/// A question, and each file with the first and last line that answer it.
pub(crate) type Row = (&'static str, &'static [(&'static str, u32, u32)]);

/// The one of the README.
pub(crate) const MAIN: Row = (
    "For how many months must source that is distributed electronically stay available under the Mozilla Public License?",
    &[("MPL-1.1", 164, 165)],
);

/// Ten others.
pub(crate) const QUESTIONS: [Row; 10] = [
    (
        "How many days does a violator have to cure a GPL version 3 violation after receiving the first notice?",
        &[("GPL-3", 423, 427)],
    ),
    (
        "What happens under the Apache License if you start patent litigation against the work?",
        &[("Apache-2.0", 83, 88)],
    ),
    ("What is a Larger Work in the Mozilla Public License 2.0?", &[("MPL-2.0", 37, 40)]),
    (
        "How many words may a Front-Cover Text have at most under the GNU Free Documentation License?",
        &[("GFDL-1.3", 72, 73), ("GFDL-1.2", 72, 73), ("GFDL-1.3", 249, 250), ("GFDL-1.2", 246, 247)],
    ),
    (
        "For how many years must a written offer of source code be valid under GPL version 3?",
        &[("GPL-3", 258, 260)],
    ),
    ("May the name of the University be used to endorse products under the BSD license?", &[("BSD", 12, 14)]),
    ("Does CC0 waive trademark or patent rights?", &[("CC0-1.0", 104, 105)]),
    (
        "How many copies of a GFDL document must be printed before the cover text rules apply?",
        &[("GFDL-1.3", 142, 144), ("GFDL-1.2", 140, 142)],
    ),
    (
        "How short must inline functions be so that the object file use is unrestricted under the LGPL 2.1?",
        &[("LGPL-2.1", 259, 263)],
    ),
    ("Within how many days must a breach of MPL 1.1 be cured?", &[("MPL-1.1", 322, 323)]),
];
