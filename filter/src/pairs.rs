//! Header pairs as the ABI writes them: a count, the sizes, then each text with a NUL behind it.

use accredit_policy::headers::Headers;

/// Pairs as bytes.
pub(crate) fn write(pairs: &[(&str, &str)]) -> Vec<u8> {
    let size = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend(size(name).into_iter().chain(size(value)));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.bytes().chain([0]));
    }
    bytes
}

/// Bytes of the host as headers; `None` when they are not such pairs.
pub(crate) fn read(bytes: &[u8]) -> Option<Headers> {
    let Some((count, sizes)) = bytes.split_first_chunk::<4>() else {
        return bytes.is_empty().then(Headers::default);
    };
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (sizes, mut texts) = sizes.split_at_checked(count.checked_mul(8)?)?;
    let mut headers = Headers::with_room(count, texts.len());
    let mut text = |size: [u8; 4]| {
        let (text, rest) = texts.split_at_checked(usize::try_from(u32::from_le_bytes(size)).ok()?)?;
        texts = rest.split_first()?.1;
        Some(text)
    };
    for [a, b, c, d, e, f, g, h] in sizes.as_chunks::<8>().0 {
        let (name, value) = (text([*a, *b, *c, *d])?, text([*e, *f, *g, *h])?);
        headers.push(name, value);
    }
    Some(headers)
}
