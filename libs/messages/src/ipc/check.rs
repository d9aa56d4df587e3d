//! The claims that Arrow IPC metadata makes, held against the bytes that are there.

use arrow::error::ArrowError;
use arrow::ipc::{
    self, Block, DateUnit, FieldNode, KeyValue, Message, MetadataVersion, Precision, RecordBatch,
    Schema, TimeUnit, Type,
};

use super::damaged;

type Checked<T = ()> = Result<T, ArrowError>;

/// How deep types may be nested; the messages of this project need two levels.
const MAX_DEPTH: usize = 16;

/// Rows that a column without any bytes (of type null) may claim.
const MAX_ROWS: i64 = 1 << 28;

/// How often a buffer may be larger than its compressed form.
const MAX_RATIO: usize = 256;

/// Bytes that a buffer may have when decompressed, whatever its ratio.
const MIN_DECOMPRESSED: usize = 64 << 20;

/// What begins a message of today's format, before its length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Checks a file by its footer: schema, and all messages that the footer points to.
pub(super) fn footer(bytes: &[u8], footer: &[u8]) -> Checked {
    let footer = ipc::root_as_footer(footer).map_err(|error| damaged(&error.to_string()))?;
    let metadata = footer.custom_metadata();
    let has_words = |pair: KeyValue<'_>| pair.key().is_some() && pair.value().is_some();
    ensure(metadata.is_none_or(|pairs| pairs.iter().all(has_words)), || "empty metadata")?;
    let schema = footer.schema().ok_or_else(|| damaged("no schema"))?;
    let columns = Column::all(schema)?;
    let blocks = [footer.dictionaries(), footer.recordBatches()];
    for block in blocks.into_iter().flatten().flatten() {
        let (head, body) = split(bytes, block)?;
        message(&columns, parse(head)?, body, footer.version())?;
    }
    Ok(())
}

/// Checks a stream: its schema, and the messages after it.
pub(super) fn stream(bytes: &[u8]) -> Checked {
    let mut columns = None;
    let mut rest = bytes;
    while let Some((head, after)) = next_head(rest)? {
        let found = ipc::root_as_message(head).map_err(|error| damaged(&error.to_string()))?;
        let body = after.get(..length(found.bodyLength())?);
        let body = body.ok_or_else(|| damaged("a message that is longer than what there is"))?;
        match &columns {
            None => {
                let schema = found.header_as_schema().ok_or_else(|| damaged("no schema"))?;
                columns = Some(Column::all(schema)?);
            }
            Some(columns) => message(columns, found, body, found.version())?,
        }
        rest = &after[body.len()..];
    }
    Ok(())
}

/// The metadata of a stream's next message, and what comes after it.
fn next_head(bytes: &[u8]) -> Checked<Option<(&[u8], &[u8])>> {
    let bytes = bytes.strip_prefix(&CONTINUATION).unwrap_or(bytes);
    let Some((n_head, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    match length(i32::from_le_bytes(*n_head).into())? {
        0 => Ok(None),
        n if n <= rest.len() => Ok(Some(rest.split_at(n))),
        n => Err(damaged(&format!("metadata of {n} bytes where {} are left", rest.len()))),
    }
}

/// Metadata and body of a message that a footer points to.
fn split<'a>(bytes: &'a [u8], block: &Block) -> Checked<(&'a [u8], &'a [u8])> {
    let start = length(block.offset())?;
    let n_head = length(block.metaDataLength().into())?;
    let n_body = length(block.bodyLength())?;
    let end = start.checked_add(n_head).and_then(|body| body.checked_add(n_body));
    let whole = end.and_then(|end| bytes.get(start..end));
    let whole = whole.ok_or_else(|| damaged("a message that lies beyond the end of the file"))?;
    Ok(whole.split_at(n_head))
}

/// The message after its length.
fn parse(head: &[u8]) -> Checked<Message<'_>> {
    let head = head.strip_prefix(&CONTINUATION).unwrap_or(head);
    let head = head.get(4..).ok_or_else(|| damaged("a message without metadata"))?;
    ipc::root_as_message(head).map_err(|error| damaged(&error.to_string()))
}

/// Checks a record batch or a dictionary.
fn message(
    columns: &[Column],
    found: Message<'_>,
    body: &[u8],
    version: MetadataVersion,
) -> Checked {
    if let Some(batch) = found.header_as_record_batch() {
        return Claims::new(batch, body, version)?.check(columns.iter());
    }
    let dictionary = found.header_as_dictionary_batch();
    let dictionary = dictionary.ok_or_else(|| damaged("a message that holds no rows"))?;
    let batch = dictionary.data().ok_or_else(|| damaged("an empty dictionary"))?;
    let values = columns.iter().find_map(|column| column.dictionary(dictionary.id()));
    let values = values.ok_or_else(|| damaged("a dictionary that no column has"))?;
    Claims::new(batch, body, version)?.check([values].into_iter())
}

/// What has to be known of a column to find its parts among those of a batch.
struct Column {
    kind: Type,
    /// Bytes of an element of its first buffer behind the validity; Arrow insists on whole elements.
    width: u64,
    children: Vec<Column>,
    /// Number and values of its dictionary, if it has one.
    dictionary: Option<(i64, Box<Column>)>,
}

impl Column {
    fn all(schema: Schema<'_>) -> Checked<Vec<Column>> {
        let fields = schema.fields().ok_or_else(|| damaged("a schema without columns"))?;
        fields.iter().map(|field| Column::new(field, 0)).collect()
    }

    /// Refuses the types whose conversion panics, or that nothing here reads.
    fn new(field: ipc::Field<'_>, depth: usize) -> Checked<Column> {
        ensure(depth < MAX_DEPTH, || "types nested too deeply")?;
        let name = field.name().unwrap_or_default();
        let children = field.children().into_iter().flatten();
        let children =
            children.map(|child| Column::new(child, depth + 1)).collect::<Checked<Vec<_>>>()?;
        let kind = field.type_type();
        let width = width(&field, children.len() == 1).ok_or_else(|| {
            damaged(&format!("column {name:?} is of a type not read here: {kind:?}"))
        })?;
        let values = Column { kind, width, children, dictionary: None };
        let Some(dictionary) = field.dictionary() else { return Ok(values) };
        let width = dictionary.indexType().and_then(whole_width);
        let width = width
            .ok_or_else(|| damaged(&format!("column {name:?} has a dictionary without index")))?;
        let dictionary = Some((dictionary.id(), Box::new(values)));
        Ok(Column { kind: Type::Int, width, children: Vec::new(), dictionary })
    }

    /// The values of a dictionary, in this column or within it.
    fn dictionary(&self, id: i64) -> Option<&Column> {
        match &self.dictionary {
            Some((own, values)) if *own == id => Some(values),
            Some((_, values)) => values.dictionary(id),
            None => self.children.iter().find_map(|child| child.dictionary(id)),
        }
    }
}

/// Bytes of one value in the buffers of a column, or of its offset; `None` for a type that is not read here.
fn width(field: &ipc::Field<'_>, is_list: bool) -> Option<u64> {
    match field.type_type() {
        Type::Int => field.type_as_int().and_then(whole_width),
        Type::FloatingPoint => {
            field.type_as_floating_point().and_then(|float| match float.precision() {
                Precision::HALF => Some(2),
                Precision::SINGLE => Some(4),
                Precision::DOUBLE => Some(8),
                _ => None,
            })
        }
        Type::Date => field.type_as_date().and_then(|date| match date.unit() {
            DateUnit::DAY => Some(4),
            DateUnit::MILLISECOND => Some(8),
            _ => None,
        }),
        Type::Timestamp => {
            let unit = field.type_as_timestamp().map(|time| time.unit());
            unit.filter(|unit| unit.variant_name().is_some()).map(|_| 8)
        }
        Type::Time => field.type_as_time().and_then(|time| match (time.bitWidth(), time.unit()) {
            (32, TimeUnit::SECOND | TimeUnit::MILLISECOND) => Some(4),
            (64, TimeUnit::MICROSECOND | TimeUnit::NANOSECOND) => Some(8),
            _ => None,
        }),
        Type::Duration => {
            let unit = field.type_as_duration().map(|duration| duration.unit());
            unit.filter(|unit| unit.variant_name().is_some()).map(|_| 8)
        }
        Type::Decimal => field.type_as_decimal().and_then(|decimal| {
            let is_small =
                (0..=76).contains(&decimal.precision()) && (-76..=76).contains(&decimal.scale());
            let bits = decimal.bitWidth();
            let width = matches!(bits, 32 | 64 | 128 | 256).then(|| bits.unsigned_abs() / 8);
            width.filter(|_| is_small).map(u64::from)
        }),
        Type::FixedSizeBinary => {
            let bytes = field.type_as_fixed_size_binary().map(|bytes| bytes.byteWidth());
            bytes.filter(|n| *n >= 0).map(|_| 1)
        }
        Type::FixedSizeList => {
            let list = field.type_as_fixed_size_list().filter(|list| list.listSize() >= 0);
            list.filter(|_| is_list).map(|_| 1)
        }
        Type::List | Type::Map => is_list.then_some(4),
        Type::LargeList => is_list.then_some(8),
        Type::Null | Type::Bool | Type::Struct_ => Some(1),
        Type::Utf8 | Type::Binary => Some(4),
        Type::LargeUtf8 | Type::LargeBinary => Some(8),
        Type::Utf8View | Type::BinaryView => Some(16),
        _ => None,
    }
}

/// Bytes of a whole number.
fn whole_width(int: ipc::Int<'_>) -> Option<u64> {
    match int.bitWidth() {
        bits @ (8 | 16 | 32 | 64) => Some(bits.unsigned_abs().into()).map(|bits: u64| bits / 8),
        _ => None,
    }
}

/// What a batch claims of its columns, in the order of the columns.
struct Claims<'a> {
    version: MetadataVersion,
    nodes: std::vec::IntoIter<FieldNode>,
    buffers: std::vec::IntoIter<ipc::Buffer>,
    /// Number of data buffers of each view column.
    n_view_buffers: std::vec::IntoIter<i64>,
    is_compressed: bool,
    body: &'a [u8],
}

impl<'a> Claims<'a> {
    fn new(batch: RecordBatch<'_>, body: &'a [u8], version: MetadataVersion) -> Checked<Self> {
        let rows = batch.length();
        ensure((0..=MAX_ROWS).contains(&rows), || format!("a batch of {rows} rows"))?;
        let nodes: Vec<FieldNode> = batch.nodes().into_iter().flatten().copied().collect();
        let buffers: Vec<ipc::Buffer> = batch.buffers().into_iter().flatten().copied().collect();
        let n_view_buffers: Vec<i64> = batch.variadicBufferCounts().into_iter().flatten().collect();
        Ok(Self {
            version,
            nodes: nodes.into_iter(),
            buffers: buffers.into_iter(),
            n_view_buffers: n_view_buffers.into_iter(),
            is_compressed: batch.compression().is_some(),
            body,
        })
    }

    fn check<'c>(mut self, columns: impl Iterator<Item = &'c Column>) -> Checked {
        for column in columns {
            self.column(column)?;
        }
        ensure(self.n_view_buffers.next().is_none(), || "more views than columns")
    }

    /// A column takes a node and a number of buffers, its children take theirs after it.
    fn column(&mut self, column: &Column) -> Checked {
        let node = self.nodes.next().ok_or_else(|| damaged("fewer columns than the schema has"))?;
        let (rows, nulls) = (node.length(), node.null_count());
        ensure((0..=MAX_ROWS).contains(&rows), || format!("a column of {rows} rows"))?;
        ensure((0..=rows).contains(&nulls), || "more nulls than rows")?;
        if column.kind == Type::Null {
            // It had a buffer, always empty, in earlier versions of the format.
            return if self.version < MetadataVersion::V5 {
                self.buffer().map(drop)
            } else {
                Ok(())
            };
        }
        let n_validity = self.buffer()?;
        let is_told = n_validity >= rows.unsigned_abs().div_ceil(8);
        ensure(nulls == 0 || is_told, || "nulls without saying where")?;
        let n_others = match column.kind {
            Type::Utf8 | Type::LargeUtf8 | Type::Binary | Type::LargeBinary => 2,
            Type::Utf8View | Type::BinaryView => {
                let n = self.n_view_buffers.next();
                1 + length(n.ok_or_else(|| damaged("a view without buffers"))?)?
            }
            Type::Struct_ | Type::FixedSizeList => 0,
            _ => 1,
        };
        for nth in 0..n_others {
            let n = self.buffer()?;
            ensure(nth > 0 || n % column.width == 0, || "a buffer that ends within an element")?;
        }
        column.children.iter().try_for_each(|child| self.column(child))
    }

    /// Bytes of the next buffer once it is decompressed; it must lie within the body.
    fn buffer(&mut self) -> Checked<u64> {
        let buffer = self.buffers.next().ok_or_else(|| damaged("fewer buffers than columns"))?;
        let (start, n) = (length(buffer.offset())?, length(buffer.length())?);
        let end = start.checked_add(n);
        let bytes = end.and_then(|end| self.body.get(start..end));
        let bytes = bytes.ok_or_else(|| damaged("a buffer beyond the end of its message"))?;
        let n = match bytes.first_chunk() {
            Some(claimed) if self.is_compressed => decompressed(i64::from_le_bytes(*claimed), n)?,
            _ => n,
        };
        Ok(n as u64)
    }
}

/// Bytes of a buffer that claims so many and takes `n` compressed, with eight bytes for the claim; -1 says that it is
/// not compressed.
fn decompressed(claimed: i64, n: usize) -> Checked<usize> {
    if claimed == -1 {
        return Ok(n - size_of::<i64>());
    }
    let claimed = length(claimed)?;
    let most = n.saturating_mul(MAX_RATIO).max(MIN_DECOMPRESSED);
    ensure(claimed <= most, || format!("{n} bytes that decompress to {claimed}"))?;
    Ok(claimed)
}

fn length(claimed: i64) -> Checked<usize> {
    usize::try_from(claimed).ok().ok_or_else(|| damaged(&format!("a length of {claimed}")))
}

fn ensure<W: Into<String>>(holds: bool, why: impl FnOnce() -> W) -> Checked {
    if holds { Ok(()) } else { Err(damaged(&why().into())) }
}
