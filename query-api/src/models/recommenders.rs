//! Trained recommenders: one an organization, kept for a while, trained once at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Date32Type, Int32Type};
use chrono::NaiveDate;
use datafusion::error::DataFusionError;
use futures::StreamExt as _;
use parking_lot::Mutex;
use schemas::{OrganizationId, Problem, ProblemKind};

use crate::analytics::recommend::{Options, Purchase, Recommender};
use crate::api::{App, internal};
use crate::http::as_of::AsOf;
use crate::http::problem::query_problem;
use crate::metrics;
use crate::reports::{Text, baskets, from_days};
use crate::tables::cut::Cut;
use crate::tables::session;

/// Most product lines one recommender is trained on; beyond it an answer would take more memory than it may.
const MOST_LINES: usize = 20_000_000;

/// A recommender and the names behind its numbers.
pub(crate) struct Trained {
    cut: Cut,
    checked: Mutex<Instant>,
    pub(crate) recommender: Recommender,
    /// Customers in order of their ids; the number is the place.
    pub(crate) customers: Vec<String>,
    /// Product ids and names by number.
    pub(crate) products: Vec<(String, String)>,
}

impl Trained {
    pub(crate) fn as_of(&self) -> AsOf {
        self.cut.as_of()
    }

    /// The number of a customer; one beyond all for a customer without purchases.
    pub(crate) fn number(&self, customer: &str) -> u32 {
        let found = self
            .customers
            .binary_search_by(|other| other.as_str().cmp(customer));
        found.unwrap_or(self.customers.len()) as u32
    }
}

#[derive(Default)]
struct Slot {
    /// Held while one trains; the others wait for its result.
    training: tokio::sync::Mutex<()>,
    trained: Mutex<Option<Arc<Trained>>>,
    used: Mutex<Option<Instant>>,
}

/// The recommenders in memory.
pub(crate) struct Recommenders {
    most: usize,
    age: Duration,
    slots: Mutex<HashMap<OrganizationId, Arc<Slot>>>,
}

impl Recommenders {
    pub(crate) fn new(most: usize, age: Duration) -> Self {
        Self {
            most: most.max(1),
            age,
            slots: Mutex::default(),
        }
    }

    fn slot(&self, organization: &OrganizationId) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        let slot = slots.entry(organization.clone()).or_default().clone();
        *slot.used.lock() = Some(Instant::now());
        if slots.len() > self.most {
            // The one asked for longest ago goes; who is waiting for it still gets it.
            let oldest = slots
                .iter()
                .min_by_key(|(_, slot)| *slot.used.lock())
                .map(|(name, _)| name.clone());
            oldest.and_then(|name| slots.remove(&name));
        }
        slot
    }

    fn fresh(&self, slot: &Slot) -> Option<Arc<Trained>> {
        let trained = slot.trained.lock().clone()?;
        let checked = *trained.checked.lock();
        (checked.elapsed() < self.age).then_some(trained)
    }

    /// The organization's recommender, trained on events that are at most the age limit behind, or on all there are.
    pub(crate) async fn get(
        &self,
        app: &Arc<App>,
        organization: &OrganizationId,
    ) -> Result<Arc<Trained>, Problem> {
        let slot = self.slot(organization);
        if let Some(trained) = self.fresh(&slot) {
            return Ok(trained);
        }
        let _turn = slot.training.lock().await;
        if let Some(trained) = self.fresh(&slot) {
            return Ok(trained);
        }
        let known = slot.trained.lock().clone();
        if let Some(known) = known {
            let cut = app.cut().await?;
            if cut.records() == known.cut.records() {
                // Nothing has happened since.
                *known.checked.lock() = Instant::now();
                return Ok(known);
            }
        }
        let start = Instant::now();
        let trained = Arc::new(train(app, organization).await?);
        metrics::trained(start.elapsed());
        *slot.trained.lock() = Some(trained.clone());
        Ok(trained)
    }
}

/// Adds the rows of a batch: customer, day and product as numbers.
fn add(lines: &mut Vec<Purchase>, batch: &RecordBatch) -> Result<(), DataFusionError> {
    let other = || DataFusionError::Internal("a basket is of other types".to_owned());
    let number = |at: usize| {
        batch
            .column(at)
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(other)
    };
    let (customers, products) = (number(0)?, number(2)?);
    let days = batch
        .column(1)
        .as_primitive_opt::<Date32Type>()
        .ok_or_else(other)?;
    lines.extend((0..batch.num_rows()).map(|row| Purchase {
        customer: customers.value(row) as u32,
        product: products.value(row) as u32,
        day: from_days(days.value(row)),
    }));
    Ok(())
}

/// The texts in order, and the place of each number among them.
fn ordered(texts: Vec<Text>) -> (Vec<Text>, Vec<u32>) {
    let mut numbered: Vec<(Text, usize)> = texts.into_iter().zip(0..).collect();
    numbered.sort_unstable_by(|a, b| a.0.text.cmp(&b.0.text));
    let mut places = vec![0; numbered.len()];
    for (place, (_, number)) in numbered.iter().enumerate() {
        places[*number] = place as u32;
    }
    (numbered.into_iter().map(|(text, _)| text).collect(), places)
}

async fn train(app: &Arc<App>, organization: &OrganizationId) -> Result<Trained, Problem> {
    let (shared, organization) = (app.clone(), organization.clone());
    let work = async move {
        let tables = session::open(&shared, &organization).await?;
        let failed = |error: DataFusionError| query_problem(&error);
        let (mut batches, [customers, products]) =
            baskets(&tables.context).await.map_err(failed)?;
        let mut lines = Vec::new();
        while let Some(batch) = batches.next().await {
            add(&mut lines, &batch.map_err(failed)?).map_err(failed)?;
            if lines.len() > MOST_LINES {
                let detail = "there are more purchases than recommendations can be trained on here";
                return Err(
                    Problem::new(ProblemKind::Unprocessable, detail).with("code", "memory".into())
                );
            }
        }
        Ok((tables.cut, lines, customers.texts(), products.texts()))
    };
    let (cut, lines, customers, products) = app.engine.run("recommendations", work).await?;
    let fitted = tokio::task::spawn_blocking(move || fit(cut, lines, customers, products)).await;
    fitted.map_err(|error| internal("a training ended abnormally", &error))
}

/// Numbers customers and products in the order of their ids, so that the same purchases give the same model.
fn fit(cut: Cut, mut lines: Vec<Purchase>, customers: Vec<Text>, products: Vec<Text>) -> Trained {
    let (customers, customer_places) = ordered(customers);
    let (products, product_places) = ordered(products);
    for line in &mut lines {
        line.customer = customer_places[line.customer as usize];
        line.product = product_places[line.product as usize];
    }
    // The last day with purchases: of a log that was imported, today would make everything long ago.
    let today = lines
        .iter()
        .map(|line| line.day)
        .max()
        .unwrap_or(NaiveDate::default());
    let recommender = Recommender::fit(
        &lines,
        customers.len(),
        products.len(),
        today,
        &Options::default(),
    );
    Trained {
        cut,
        checked: Mutex::new(Instant::now()),
        recommender,
        customers: customers.iter().map(|text| text.text.to_string()).collect(),
        products: products
            .into_iter()
            .map(|text| {
                (
                    text.text.to_string(),
                    text.name.map_or_else(String::new, |name| name.to_string()),
                )
            })
            .collect(),
    }
}
