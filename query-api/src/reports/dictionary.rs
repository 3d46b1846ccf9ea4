//! Texts by number: reports group by numbers, which take a tenth of the memory and time of texts.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use parking_lot::RwLock;

/// Most bytes of the texts of one report.
const MOST_BYTES: usize = 256 << 20;
/// What an entry takes beside its text.
const ENTRY: usize = 64;

/// A text and the name that goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) text: Arc<str>,
    /// Of several names the last in order, so that it does not depend on which came first.
    pub(crate) name: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Entries {
    codes: HashMap<Arc<str>, i32>,
    texts: Vec<Text>,
    bytes: usize,
}

/// The texts of one report, numbered as they come. Cheap to clone; equal to its clones only.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dictionary(Arc<RwLock<Entries>>);

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Dictionary {}

impl Hash for Dictionary {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Entries {
    /// The number of a text, if it and its name need no change.
    fn known(&self, text: &str, name: Option<&str>) -> Option<i32> {
        let code = *self.codes.get(text)?;
        let entry = &self.texts[code as usize];
        (name <= entry.name.as_deref()).then_some(code)
    }

    fn learn(&mut self, text: &str, name: Option<&str>) -> Result<i32> {
        if let Some(code) = self.codes.get(text) {
            let entry = &mut self.texts[*code as usize];
            if name > entry.name.as_deref() {
                entry.name = name.map(Arc::from);
            }
            return Ok(*code);
        }
        self.bytes += text.len() + name.map_or(0, str::len) + ENTRY;
        if self.bytes > MOST_BYTES {
            let detail = "the report has too many groups".to_owned();
            return Err(DataFusionError::ResourcesExhausted(detail));
        }
        let code = i32::try_from(self.texts.len()).map_err(|_| {
            DataFusionError::ResourcesExhausted("the report has too many groups".to_owned())
        })?;
        let text: Arc<str> = text.into();
        self.codes.insert(text.clone(), code);
        let name = name.map(Arc::from);
        self.texts.push(Text { text, name });
        Ok(code)
    }
}

impl Dictionary {
    /// Numbers texts; they share one look under a lock that readers share, but for those that are new.
    pub(crate) fn codes<'a>(
        &self,
        texts: impl Iterator<Item = Option<(&'a str, Option<&'a str>)>>,
    ) -> Result<Vec<Option<i32>>> {
        let mut guard = self.0.read();
        let mut codes = Vec::with_capacity(texts.size_hint().0);
        for text in texts {
            let Some((text, name)) = text else {
                codes.push(None);
                continue;
            };
            let code = match guard.known(text, name) {
                Some(code) => code,
                None => {
                    drop(guard);
                    let code = self.0.write().learn(text, name)?;
                    guard = self.0.read();
                    code
                }
            };
            codes.push(Some(code));
        }
        Ok(codes)
    }

    /// The texts by number, so far.
    pub(crate) fn texts(&self) -> Vec<Text> {
        self.0.read().texts.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_and_its_last_name() {
        let dictionary = Dictionary::default();
        let all = [
            Some(("p", Some("B"))),
            None,
            Some(("q", None)),
            Some(("p", Some("A"))),
            Some(("p", Some("C"))),
        ];
        let codes = dictionary.codes(all.into_iter()).unwrap();
        assert_eq!(codes, [Some(0), None, Some(1), Some(0), Some(0)]);
        let texts = dictionary.texts();
        assert_eq!(
            (&*texts[0].text, texts[0].name.as_deref()),
            ("p", Some("C"))
        );
        assert_eq!((&*texts[1].text, texts[1].name.as_deref()), ("q", None));
    }
}
