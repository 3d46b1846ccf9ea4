//! `multipart/form-data`: how clients send a query beside parameters that are too long for the URL.

use super::error::HttpError;

/// The boundary of a `Content-Type`, if it is a form.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (ty, parameters) = content_type.split_once(';')?;
    if !ty.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty())
            .then(|| value.to_owned())
    })
}

/// The names and values of a form's fields.
pub(super) fn fields(body: &[u8], boundary: &str) -> Result<Vec<(String, Vec<u8>)>, HttpError> {
    let malformed = || HttpError::bad("the multipart/form-data body is malformed");
    let opening = format!("--{boundary}");
    let delimiter = format!("\r\n--{boundary}");
    let start = find(body, opening.as_bytes()).ok_or_else(malformed)?;
    let mut rest = &body[start + opening.len()..];
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or_else(malformed)?;
        let end = find(rest, delimiter.as_bytes()).ok_or_else(malformed)?;
        let part = &rest[..end];
        let split = find(part, b"\r\n\r\n").ok_or_else(malformed)?;
        let head = std::str::from_utf8(&part[..split]).map_err(|_| malformed())?;
        let (name, file) = disposition(head).ok_or_else(malformed)?;
        if file {
            return Err(HttpError::new(
                48,
                "external tables are not supported here; use an array parameter",
            ));
        }
        fields.push((name, part[split + 4..].to_vec()));
        rest = &rest[end + delimiter.len()..];
    }
}

/// The field's name, and whether it is a file.
fn disposition(head: &str) -> Option<(String, bool)> {
    let line = head.lines().find(|line| {
        line.to_ascii_lowercase()
            .starts_with("content-disposition:")
    })?;
    let parameter = |name: &str| {
        line.split(';').find_map(|item| {
            let value = item.trim().strip_prefix(name)?.strip_prefix('=')?;
            Some(value.trim_matches('"').to_owned())
        })
    };
    Some((parameter("name")?, parameter("filename").is_some()))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_byte_for_byte() {
        assert_eq!(
            boundary("multipart/form-data; charset=x; boundary=\"b-1\"").as_deref(),
            Some("b-1")
        );
        assert_eq!(boundary("text/plain"), None);
        let body = b"--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 1\r\n\
            --b\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\n\r\n--c\r\n\xff\r\n--b--\r\n";
        let found = fields(body, "b").ok();
        let expected = vec![
            ("query".to_owned(), b"SELECT 1".to_vec()),
            ("param_x".to_owned(), b"\r\n--c\r\n\xff".to_vec()),
        ];
        assert_eq!(found, Some(expected));
        assert!(fields(b"--b\r\nnothing", "b").is_err());
    }
}
