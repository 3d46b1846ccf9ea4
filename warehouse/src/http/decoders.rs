//! What reads the bytes of others in this interface, by itself: for tests that feed it anything.

use super::statement::Statement;
use super::{form, native};

/// Where a statement's data begins, if it is an insert with data; an exception's text where it is refused.
///
/// # Errors
/// The exception.
pub fn statement(text: &[u8]) -> Result<Option<usize>, String> {
    match Statement::parse(text) {
        Ok(Statement::Insert { data, .. }) => Ok(Some(data)),
        Ok(Statement::Other { .. }) => Ok(None),
        Err(error) => Err(error.text()),
    }
}

/// Names and values of a form with this `Content-Type`; none where it is no form.
///
/// # Errors
/// The exception.
pub fn form(content_type: &str, body: &[u8]) -> Result<Option<Vec<(String, Vec<u8>)>>, String> {
    let Some(boundary) = form::boundary(content_type) else {
        return Ok(None);
    };
    let fields = form::fields(body, &boundary).map_err(|error| error.text())?;
    Ok(Some(fields))
}

/// Data in ClickHouse's own compressed frames.
pub fn frames(data: &[u8]) -> Vec<u8> {
    native::compress(data)
}

/// The data of compressed frames, `most` bytes at the most.
///
/// # Errors
/// The exception.
pub fn unframe(frames: &[u8], most: usize) -> Result<Vec<u8>, String> {
    native::decompress(frames, most).map_err(|error| error.text())
}
