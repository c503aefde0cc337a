//! English forms that no rule of spelling leads back to their base: `went`, `children`.

/// Forms and their bases, by form. Forms that are as common as another word are left out (`rose`, `lay`, `bit`).
const IRREGULAR: &[(&str, &str)] = &[
    ("ate", "eat"), ("became", "become"), ("began", "begin"), ("begun", "begin"), ("best", "good"), ("better", "good"), ("blew", "blow"), ("blown", "blow"), ("bought", "buy"), ("broke", "break"), ("broken", "break"), ("brought", "bring"), ("built", "build"), ("burnt", "burn"), ("came", "come"), ("caught", "catch"), ("children", "child"), ("chose", "choose"), ("chosen", "choose"), ("colour", "color"), ("colours", "color"), ("dealt", "deal"), ("done", "do"), ("drank", "drink"), ("drawn", "draw"), ("dreamt", "dream"), ("drew", "draw"), ("driven", "drive"), ("drove", "drive"), ("drunk", "drink"), ("dug", "dig"), ("eaten", "eat"), ("fallen", "fall"), ("favourite", "favorite"), ("fed", "feed"), ("feet", "foot"), ("fell", "fall"), ("felt", "feel"), ("flew", "fly"), ("flown", "fly"), ("forgave", "forgive"), ("forgiven", "forgive"), ("forgot", "forget"), ("forgotten", "forget"), ("fought", "fight"), ("found", "find"), ("froze", "freeze"), ("frozen", "freeze"), ("gave", "give"), ("given", "give"), ("goes", "go"), ("gone", "go"), ("got", "get"), ("gotten", "get"), ("grew", "grow"), ("grey", "gray"), ("grown", "grow"), ("heard", "hear"), ("held", "hold"), ("hid", "hide"), ("hidden", "hide"), ("hung", "hang"), ("kept", "keep"), ("knew", "know"), ("knives", "knife"), ("known", "know"), ("laid", "lay"), ("learnt", "learn"), ("led", "lead"), ("left", "leave"), ("lent", "lend"), ("lit", "light"), ("lost", "lose"), ("made", "make"), ("meant", "mean"), ("men", "man"), ("met", "meet"), ("mice", "mouse"), ("mom", "mother"), ("mum", "mother"), ("neighbour", "neighbor"), ("neighbours", "neighbor"), ("paid", "pay"), ("ran", "run"), ("rang", "ring"), ("ridden", "ride"), ("rode", "ride"), ("rung", "ring"), ("said", "say"), ("sang", "sing"), ("sank", "sink"), ("sat", "sit"), ("saw", "see"), ("seen", "see"), ("sent", "send"), ("shaken", "shake"), ("shone", "shine"), ("shook", "shake"), ("shot", "shoot"), ("shown", "show"), ("slept", "sleep"), ("slid", "slide"), ("sold", "sell"), ("sought", "seek"), ("spent", "spend"), ("spoke", "speak"), ("spoken", "speak"), ("spun", "spin"), ("stole", "steal"), ("stolen", "steal"), ("stood", "stand"), ("struck", "strike"), ("stuck", "stick"), ("sung", "sing"), ("sunk", "sink"), ("swam", "swim"), ("swept", "sweep"), ("swore", "swear"), ("sworn", "swear"), ("swum", "swim"), ("taken", "take"), ("taught", "teach"), ("teeth", "tooth"), ("theatre", "theater"), ("thieves", "thief"), ("thought", "think"), ("threw", "throw"), ("thrown", "throw"), ("told", "tell"), ("took", "take"), ("tore", "tear"), ("torn", "tear"), ("understood", "understand"), ("went", "go"), ("wept", "weep"), ("wives", "wife"), ("woke", "wake"), ("woken", "wake"), ("wolves", "wolf"), ("women", "woman"), ("won", "win"), ("wore", "wear"), ("worn", "wear"), ("worse", "bad"), ("worst", "bad"), ("written", "write"), ("wrote", "write"),
];

/// The base of an irregular form.
pub(super) fn base(word: &str) -> Option<&'static str> {
    let at = IRREGULAR.binary_search_by_key(&word, |(form, _)| form).ok()?;
    IRREGULAR.get(at).map(|(_, base)| *base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_sorted() {
        assert!(IRREGULAR.is_sorted_by(|a, b| a.0 < b.0));
    }
}
