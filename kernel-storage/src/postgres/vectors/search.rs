//! Searching: each list by a statement of its own, joined here as everywhere.
//!
//! By words the database finds and scores (BM25, with the counts of all texts of the namespace). By vector it finds
//! candidates, in the order of 32-bit sums or, through the index, of 16-bit ones; how near they are is computed here from their
//! directions, so that every store says the same of the same vectors.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::super::PostgresStore;
use super::super::read::at_most;
use super::condition;
use super::graph::{self, LARGEST_DIMENSION};
use super::lexemes::asked;
use super::row::{ITEM, Numbered, id, item};
use super::session::{Session, Trouble};
use crate::vectors::{B, Fused, K1, Scored, best, cosine, depth, direction, fuse, known_dimension, words};
use crate::{Filter, MemoryHit, MemorySearch, SearchMode, Vector};

/// A search that reads, with the plans that it was made for: words and items by their indexes; more of the graph for as
/// long as less was found than was asked for, in whatever order.
const SETTINGS: &str = "BEGIN READ ONLY; SET LOCAL jit = off; SET LOCAL hnsw.iterative_scan = relaxed_order; \
    SET LOCAL hnsw.ef_search = 100";
const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off";
const BY_WORDS: &str = "SET LOCAL enable_seqscan = off";
const ANYHOW: &str = "SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on";
/// The index measures with 16 bits: so many more are asked for as it may have confused.
const SPARE: usize = 2;
/// It is asked for so many at least, which costs nothing.
const LEAST: usize = 32;
/// Who asks for more than that gets them by comparing all sooner.
const MANY: usize = 2000;

/// Where a search takes place.
struct Known {
    space: i64,
    texts: i64,
    words: i64,
    model: Option<Numbered>,
    vectors: i64,
    indexed: bool,
}

/// What a search found, and whether an index would have been of use.
pub(super) struct Outcome {
    pub(super) hits: Vec<MemoryHit>,
    /// The namespace and the model that want one.
    pub(super) wanted: Option<(i64, Numbered)>,
}

impl PostgresStore {
    pub(super) async fn try_search(&self, search: &MemorySearch) -> Result<Outcome, Trouble> {
        let mut session = self.shared.memory.sessions.begin(SETTINGS).await?;
        let outcome = found(&mut session, search).await?;
        session.commit().await?;
        Ok(outcome)
    }
}

async fn found(session: &mut Session, search: &MemorySearch) -> Result<Outcome, Trouble> {
    let nothing = Outcome { hits: Vec::new(), wanted: None };
    let Some(known) = known(session, search).await? else { return Ok(nothing) };
    let text = search.text.as_deref().filter(|text| !text.trim().is_empty());
    let depth = depth(search.k, usize::from(text.is_some()) + usize::from(search.vector.is_some()));
    if depth == 0 {
        return Ok(nothing);
    }
    let filter = search.filter.as_ref();
    let mut lists = [None, None];
    let mut wanted = None;
    if let Some(text) = text {
        lists[0] = Some(by_words(session, search, &known, text, filter, depth).await?);
    }
    if let Some(vector) = &search.vector {
        lists[1] = Some(match known.model {
            Some(model) => by_vector(session, search, &known, model, vector, depth).await?,
            None => Vec::new(),
        });
        let many = known.vectors >= at_most(SearchMode::EXACT_BELOW);
        let useful = known.model.filter(|model| model.dimension <= LARGEST_DIMENSION);
        if search.mode != SearchMode::Exact && many && !known.indexed {
            wanted = useful.map(|model| (known.space, model));
        }
    }
    let [words, vector] = &lists;
    let fused = fuse(words.as_deref().map(keys), vector.as_deref().map(keys), search.k, |id| id);
    let hits = hits(session, &search.namespace, known.space, &fused).await?;
    Ok(Outcome { hits, wanted })
}

fn keys(list: &[Scored<String>]) -> Vec<Scored<&str>> {
    list.iter().map(|(id, score)| (id.as_str(), *score)).collect()
}

/// The namespace, if it was ever written to; refuses a vector whose model has another dimension.
async fn known(session: &mut Session, search: &MemorySearch) -> Result<Option<Known>, Trouble> {
    let mut query = QueryBuilder::new(
        "SELECT s.space, s.texts, s.words, m.model, m.dimension, h.vectors, \
         (SELECT indisvalid FROM pg_index WHERE indexrelid = \
          to_regclass('memory_near_' || s.space || '_' || m.model)) AS indexed \
         FROM (SELECT 1) AS one LEFT JOIN memory_space AS s ON s.namespace = ",
    );
    query.push_bind(search.namespace.as_bytes().to_vec());
    query.push(" LEFT JOIN memory_model AS m ON m.name = ");
    query.push_bind(search.vector.as_ref().map(|vector| vector.model.as_bytes().to_vec()));
    query.push(" LEFT JOIN memory_shelf AS h ON h.space = s.space AND h.model = m.model");
    let rows = session.rows(&mut query).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut model = None;
    if let Some(Vector { model: name, values }) = &search.vector
        && row.try_get::<Option<i32>, _>("model")?.is_some()
    {
        let known = Numbered::of(row)?;
        known_dimension("search", name, known.dimension, values.len())?;
        model = Some(known);
    }
    let Some(space) = row.try_get("space")? else { return Ok(None) };
    Ok(Some(Known {
        space,
        texts: row.try_get("texts")?,
        words: row.try_get("words")?,
        model,
        vectors: row.try_get::<Option<i64>, _>("vectors")?.unwrap_or_default(),
        indexed: row.try_get::<Option<bool>, _>("indexed")?.unwrap_or_default(),
    }))
}

async fn by_words(
    session: &mut Session,
    search: &MemorySearch,
    known: &Known,
    text: &str,
    filter: Option<&Filter>,
    depth: usize,
) -> Result<Vec<Scored<String>>, Trouble> {
    let asked = asked(known.space, &words(text));
    if asked.queries.is_empty() {
        return Ok(Vec::new());
    }
    session.say(BY_WORDS).await?;
    let mut query = QueryBuilder::new(
        "WITH shared AS (SELECT w.id, w.length::float8 AS length, lexeme, (u.positions)[1]::float8 AS times \
         FROM memory_words AS w CROSS JOIN LATERAL unnest(w.words) AS u JOIN unnest(",
    );
    query.push_bind(asked.lexemes).push("::text[]) AS a (lexeme) USING (lexeme) WHERE ");
    if let [one] = asked.queries.as_slice() {
        query.push("w.words @@ ").push_bind(one.clone()).push("::tsquery");
    } else {
        query
            .push("(w.space, w.id, w.part) IN (SELECT space, id, part FROM unnest(")
            .push_bind(asked.queries);
        query.push("::text[]::tsquery[]) AS q (query) JOIN memory_words ON words @@ query)");
    }
    query.push(
        "), holders AS (SELECT lexeme, count(*)::float8 AS texts FROM shared GROUP BY lexeme), \
         scored AS (SELECT id, sum(",
    );
    push_worth(&mut query, known);
    query.push(
        " ORDER BY lexeme COLLATE \"C\") AS score FROM shared JOIN holders USING (lexeme) GROUP BY id) ",
    );
    query.push("SELECT id, score FROM scored");
    if let Some(filter) = filter {
        query.push(" JOIN memory USING (id) WHERE space = ").push(known.space).push(" AND ");
        condition::push(&mut query, filter);
    }
    query.push(" ORDER BY score DESC, id LIMIT ").push_bind(at_most(depth));
    let rows = session.rows(&mut query).await?;
    session.say(ANYHOW).await?;
    let scored = |row: &PgRow| Ok((id(&search.namespace, row)?, row.try_get("score")?));
    rows.iter().map(scored).collect()
}

/// What one word of a text is worth: [`Corpus::worth`](crate::vectors) in SQL, step by step the same.
fn push_worth(query: &mut QueryBuilder<Postgres>, known: &Known) {
    #[expect(clippy::cast_precision_loss, reason = "only the leading digits of counts matter")]
    let (texts, words) = (known.texts as f64, known.words as f64);
    let average = (words / texts.max(1.0)).max(1.0);
    query.push("ln(1 + (").push_bind(texts).push("::float8 - texts + 0.5::float8) / (texts + 0.5::float8))");
    query.push(" * times * ").push_bind(K1 + 1.0).push("::float8 / (times + ").push_bind(K1);
    query.push("::float8 * (").push_bind(1.0 - B).push("::float8 + ").push_bind(B);
    query.push("::float8 * length / ").push_bind(average).push("::float8))");
}

async fn by_vector(
    session: &mut Session,
    search: &MemorySearch,
    known: &Known,
    model: Numbered,
    asked: &Vector,
    depth: usize,
) -> Result<Vec<Scored<String>>, Trouble> {
    let asked = direction(&asked.values);
    let few = known.vectors < at_most(SearchMode::EXACT_BELOW);
    let by_index = match search.mode {
        SearchMode::Exact => false,
        SearchMode::Approximate => true,
        SearchMode::Auto => !few,
    };
    if by_index && known.indexed && depth <= MANY {
        session.say(BY_INDEX).await?;
        let wanted = (SPARE * depth).max(LEAST);
        let mut query = nearest(known.space, model, search.filter.as_ref());
        graph::push_order(&mut query, model, &asked);
        let rows = session.rows(query.push(" LIMIT ").push_bind(at_most(wanted))).await?;
        session.say(ANYHOW).await?;
        // A filter that little fits, or an index of few: what it did not find may be there all the same.
        if rows.len() >= depth {
            return compared(&search.namespace, &rows, &asked, depth);
        }
    }
    let mut query = nearest(known.space, model, search.filter.as_ref());
    query.push(" ORDER BY direction <#> ").push_bind(pgvector::Vector::from(asked.clone())).push(", id");
    let rows = session.rows(query.push(" LIMIT ").push_bind(at_most(depth))).await?;
    compared(&search.namespace, &rows, &asked, depth)
}

/// The vectors of a model in a namespace, yet without an order.
fn nearest(space: i64, model: Numbered, filter: Option<&Filter>) -> QueryBuilder<Postgres> {
    let number = model.number;
    // Numbers, not bound ones: the index is of these alone.
    let mut query = QueryBuilder::new(format!(
        "SELECT id, direction FROM memory WHERE space = {space} AND model = {number}"
    ));
    if let Some(filter) = filter {
        query.push(" AND ");
        condition::push(&mut query, filter);
    }
    query
}

/// The best of candidates, by the numbers that every store computes.
fn compared(
    namespace: &str,
    rows: &[PgRow],
    asked: &[f32],
    depth: usize,
) -> Result<Vec<Scored<String>>, Trouble> {
    let mut scored = Vec::with_capacity(rows.len());
    for row in rows {
        let direction: pgvector::Vector = row.try_get("direction")?;
        scored.push((id(namespace, row)?, f64::from(cosine(direction.as_slice(), asked))));
    }
    let best = best(keys(&scored), depth, |id| id);
    Ok(best.into_iter().map(|(id, score)| (id.to_owned(), score)).collect())
}

/// What was found, with the items as they are now. One that is gone by now is left out.
async fn hits(
    session: &mut Session,
    namespace: &str,
    space: i64,
    found: &[Fused<&str>],
) -> Result<Vec<MemoryHit>, Trouble> {
    let mut query =
        QueryBuilder::new(format!("SELECT {ITEM} FROM memory AS m WHERE space = {space} AND id = ANY("));
    query.push_bind(found.iter().map(|hit| hit.key.as_bytes().to_vec()).collect::<Vec<_>>()).push(")");
    let mut items = BTreeMap::new();
    for row in &session.rows(&mut query).await? {
        let item = item(namespace, row)?;
        items.insert(item.id.clone(), item);
    }
    let hit = |found: &Fused<&str>| {
        let item = items.remove(found.key)?;
        Some(MemoryHit {
            id: item.id,
            owner: item.owner,
            text: item.text,
            metadata: item.metadata,
            score: found.score,
            by_words: found.by_words,
            by_vector: found.by_vector,
            similarity: found.similarity,
        })
    };
    Ok(found.iter().filter_map(hit).collect())
}
