//! Assignment: everything is read anew from the warehouse, in the reverse of the order it is written in, and the log
//! is checked to be the one the progress was made on.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use stream::Bounds;

use super::{Observer, Wiring, patiently};
use crate::engine::{Engine, Progress, Setup, StoredState};
use crate::error::ProcessorError;
use crate::fold::Definitions;
use crate::prepare::record_hash;
use crate::store::{Scope, Store, StoredClaim};

/// Engines for newly assigned partitions, ready to go on.
pub(super) async fn assign<S, O>(
    wiring: &Wiring<S, O>,
    wanted: &[u32],
) -> Result<BTreeMap<u32, Engine>, ProcessorError>
where
    S: Store + ?Sized,
    O: Observer + ?Sized,
{
    let (generation, partitions) = (wiring.log.generation(), wiring.log.partitions());
    let scope = Scope {
        generation,
        partitions,
        wanted: wanted.to_vec(),
    };
    let store = &*wiring.store;
    patiently(wiring, "synchronise the replica", || store.synchronise()).await?;

    let mut early = None;
    if !wiring.rules.read_in_reverse {
        let mut claims = Vec::new();
        each_claim(wiring, &scope, &mut |found| claims.extend(found)).await?;
        let mut states = Vec::new();
        each_state(wiring, &scope, &mut |found| states.extend(found)).await?;
        early = Some((claims, states));
    }
    let progress = patiently(wiring, "read the progress", || store.progress(&scope)).await?;
    let progress: BTreeMap<u32, Progress> = progress.into_iter().collect();
    verify(wiring, wanted, &progress).await?;

    let mut engines = BTreeMap::new();
    for &partition in wanted {
        let setup = Setup {
            generation,
            partition,
            partitions,
            fold: wiring.fold,
            rules: wiring.rules,
            state_bytes: wiring.limits.state_bytes / partitions.max(1) as usize,
        };
        engines.insert(
            partition,
            Engine::new(
                setup,
                progress.get(&partition).copied(),
                0,
                Definitions::default(),
            ),
        );
    }
    define(wiring, &scope, &mut engines).await?;

    let engines = Mutex::new(engines);
    let mut load_states = |states: Vec<(u16, StoredState)>| {
        let mut engines = engines.lock();
        for (bucket, state) in states {
            if let Some(engine) = engines.get_mut(&scope.partition(bucket)) {
                engine.load_state(state);
            }
        }
    };
    let mut load_claims = |claims: Vec<StoredClaim>| {
        let mut engines = engines.lock();
        for claim in claims {
            if let Some(engine) = engines.get_mut(&scope.partition(claim.bucket)) {
                engine.load_claim(claim.fingerprint, claim.week);
            }
        }
        engines.values_mut().for_each(Engine::seal);
    };
    match early {
        Some((claims, states)) => {
            load_states(states);
            load_claims(claims);
        }
        None => {
            each_state(wiring, &scope, &mut load_states).await?;
            each_claim(wiring, &scope, &mut load_claims).await?;
        }
    }
    let mut engines = engines.into_inner();
    let from: Vec<(u32, u64)> = engines
        .values()
        .map(|engine| (engine.partition(), engine.next()))
        .collect();
    let landed = patiently(wiring, "read landed rejections", || {
        store.rejections_from(generation, &from)
    })
    .await?;
    for (partition, offset) in landed {
        if let Some(engine) = engines.get_mut(&partition) {
            engine.load_rejections([offset]);
        }
    }
    Ok(engines)
}

/// Gives the engines the definitions of the log before their progress.
async fn define<S, O>(
    wiring: &Wiring<S, O>,
    scope: &Scope,
    engines: &mut BTreeMap<u32, Engine>,
) -> Result<(), ProcessorError>
where
    S: Store + ?Sized,
    O: ?Sized,
{
    let definitions = patiently(wiring, "read the definitions", || {
        wiring.store.definitions(scope)
    })
    .await?;
    for stored in definitions {
        if let Some(engine) = engines.get_mut(&stored.partition) {
            engine.load_definition(stored.offset, &stored.define)?;
        }
    }
    Ok(())
}

/// Hands on every stored state, some twice where a read had to be repeated.
async fn each_state<S, O>(
    wiring: &Wiring<S, O>,
    scope: &Scope,
    take: &mut (dyn FnMut(Vec<(u16, StoredState)>) + Send),
) -> Result<(), ProcessorError>
where
    S: Store + ?Sized,
    O: ?Sized,
{
    let take = Mutex::new(take);
    patiently(wiring, "read the customers", || async {
        wiring
            .store
            .states(scope, &mut |states| (take.lock())(states))
            .await
    })
    .await
}

/// Hands on every stored claim, some twice where a read had to be repeated.
async fn each_claim<S, O>(
    wiring: &Wiring<S, O>,
    scope: &Scope,
    take: &mut (dyn FnMut(Vec<StoredClaim>) + Send),
) -> Result<(), ProcessorError>
where
    S: Store + ?Sized,
    O: ?Sized,
{
    let take = Mutex::new(take);
    patiently(wiring, "read the event ids", || async {
        wiring
            .store
            .claims(scope, &mut |claims| (take.lock())(claims))
            .await
    })
    .await
}

/// Checks that the log is the one the progress was made on: it keeps everything from there on, and the last applied
/// record is still the same.
async fn verify<S, O>(
    wiring: &Wiring<S, O>,
    wanted: &[u32],
    progress: &BTreeMap<u32, Progress>,
) -> Result<(), ProcessorError>
where
    S: Store + ?Sized,
    O: ?Sized,
{
    let bounds = patiently(wiring, "read the bounds of the log", || wiring.log.bounds()).await?;
    let bounds: BTreeMap<u32, Bounds> = bounds
        .into_iter()
        .map(|bounds| (bounds.partition, bounds))
        .collect();
    for &partition in wanted {
        let Some(bounds) = bounds.get(&partition) else {
            continue;
        };
        let next = progress.get(&partition).map_or(0, |progress| progress.next);
        let wrong = |offset: u64, reason: String| ProcessorError::WrongLog {
            position: schemas::Position {
                generation: wiring.log.generation(),
                partition,
                offset,
            },
            reason,
        };
        if bounds.end < next {
            return Err(wrong(
                next,
                format!(
                    "the log ends at {}, and more than that has been applied",
                    bounds.end
                ),
            ));
        }
        if bounds.start > next {
            return Err(wrong(
                next,
                format!(
                    "the log begins at {}, and what comes before is not applied",
                    bounds.start
                ),
            ));
        }
        let Some(progress) = progress
            .get(&partition)
            .filter(|progress| progress.next > bounds.start)
        else {
            continue;
        };
        let last = patiently(wiring, "read the last applied record", || {
            wiring.log.read(partition, progress.next - 1, 1, 1)
        })
        .await?;
        let same = last
            .first()
            .is_some_and(|record| record_hash(&record.payload) == progress.record_hash);
        if !same {
            return Err(wrong(
                progress.next - 1,
                "the last applied record is another one now".to_owned(),
            ));
        }
    }
    Ok(())
}
