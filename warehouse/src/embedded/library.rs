//! libchdb's C interface. The one file of this crate with unsafe code: everything above it is safe.
//!
//! Rules kept here: an engine serves one storage path; a session runs one statement at a time, so its methods take
//! `&mut self` and results borrow it; every handle is released once, results before sessions, sessions before the
//! engine; the library stays loaded until the process ends, because its threads may outlive the last session.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayData, RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};

use crate::error::WarehouseError;
use crate::params::Params;

/// `chdb_connection`: opaque.
type Connection = *mut c_void;
/// `chdb_result *`: opaque.
type ResultHandle = *mut c_void;
/// `chdb_insert_stream`: opaque.
type InsertHandle = *mut c_void;

type Texts = *const *const c_char;
type Lengths = *const usize;
type QueryFn = unsafe extern "C" fn(
    Connection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    Texts,
    Lengths,
    Texts,
    Lengths,
    usize,
) -> ResultHandle;
type ArrowQueryFn = unsafe extern "C" fn(
    Connection,
    *const c_char,
    usize,
    *const c_void,
    Texts,
    Lengths,
    Texts,
    Lengths,
    usize,
) -> ResultHandle;

macro_rules! api {
    ($($field:ident: $ty:ty),* $(,)?) => {
        /// The functions used, resolved once.
        struct Api {
            $($field: $ty,)*
        }

        impl Api {
            /// # Safety
            /// `library` must be libchdb 26.7, whose declarations these are.
            unsafe fn resolve(library: &libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the names and types are those of chdb.h.
                    $($field: unsafe { *library.get(concat!(stringify!($field), "\0").as_bytes())? },)*
                })
            }
        }
    };
}

api! {
    chdb_set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    chdb_connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Connection,
    chdb_close_conn: unsafe extern "C" fn(*mut Connection),
    chdb_query_with_params_n: QueryFn,
    chdb_stream_query_with_params_n: QueryFn,
    chdb_stream_fetch_result: unsafe extern "C" fn(Connection, ResultHandle) -> ResultHandle,
    chdb_stream_query_arrow_with_params_n: ArrowQueryFn,
    chdb_stream_fetch_arrow: unsafe extern "C" fn(Connection, ResultHandle, *mut FFI_ArrowArrayStream) -> c_int,
    chdb_stream_cancel_query: unsafe extern "C" fn(Connection, ResultHandle),
    chdb_stream_insert_with_params_n: QueryFn,
    chdb_stream_append: unsafe extern "C" fn(InsertHandle, *const c_void, usize) -> c_int,
    chdb_stream_done: unsafe extern "C" fn(InsertHandle) -> ResultHandle,
    chdb_stream_insert_error: unsafe extern "C" fn(InsertHandle) -> *const c_char,
    chdb_destroy_insert_stream: unsafe extern "C" fn(InsertHandle),
    chdb_arrow_scan: unsafe extern "C" fn(Connection, *const c_char, *mut FFI_ArrowArrayStream) -> c_int,
    chdb_arrow_unregister_table: unsafe extern "C" fn(Connection, *const c_char) -> c_int,
    chdb_result_buffer: unsafe extern "C" fn(ResultHandle) -> *const u8,
    chdb_result_length: unsafe extern "C" fn(ResultHandle) -> usize,
    chdb_result_error: unsafe extern "C" fn(ResultHandle) -> *const c_char,
    chdb_result_storage_rows_read: unsafe extern "C" fn(ResultHandle) -> u64,
    chdb_result_storage_bytes_read: unsafe extern "C" fn(ResultHandle) -> u64,
    chdb_result_rows_read: unsafe extern "C" fn(ResultHandle) -> u64,
    chdb_result_rows_written: unsafe extern "C" fn(ResultHandle) -> u64,
    chdb_result_bytes_written: unsafe extern "C" fn(ResultHandle) -> u64,
    chdb_destroy_query_result: unsafe extern "C" fn(ResultHandle),
}

/// libchdb, loaded.
pub(super) struct Library {
    api: Api,
}

impl Library {
    /// Loads the file and keeps it loaded; the process's signal handlers stay its own.
    pub(super) fn load(path: &Path) -> Result<&'static Library, WarehouseError> {
        static LOADED: parking_lot::Mutex<Option<&'static Library>> = parking_lot::Mutex::new(None);
        let mut loaded = LOADED.lock();
        if let Some(library) = *loaded {
            return Ok(library);
        }
        let fail = |reason: String| WarehouseError::Library {
            library: path.to_owned(),
            reason,
        };
        // SAFETY: loading runs libchdb's initialisers, which expect no more than a process.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
            fail(format!(
                "{error}; fetch it with `deploy/dev/setup chdb` or set its path"
            ))
        })?;
        // SAFETY: the file was named as libchdb by the configuration; a file without these functions is refused.
        let api = unsafe { Api::resolve(&library) }.map_err(|error| fail(error.to_string()))?;
        // Never unloaded: see the head of this file.
        std::mem::forget(library);
        // SAFETY: takes an int, called before the engine starts.
        unsafe { (api.chdb_set_signal_handlers_enabled)(0) };
        let library: &'static Library = Box::leak(Box::new(Library { api }));
        *loaded = Some(library);
        Ok(library)
    }

    /// Opens a session; the first one starts the engine with these arguments (`--name=value`), and while any is open
    /// the engine runs.
    pub(super) fn connect(&'static self, arguments: &[String]) -> Option<Session> {
        let mut texts: Vec<CString> = Vec::with_capacity(arguments.len() + 1);
        texts.push(c"chdb".to_owned());
        for argument in arguments {
            texts.push(CString::new(argument.as_str()).ok()?);
        }
        let mut pointers: Vec<*mut c_char> =
            texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` NUL-terminated texts that live through the call, which copies them.
        let handle = unsafe { (self.api.chdb_connect)(count, pointers.as_mut_ptr()) };
        (!handle.is_null()).then_some(Session {
            api: &self.api,
            handle,
        })
    }
}

/// One session of the engine: settings and temporary tables are its own.
pub(crate) struct Session {
    api: &'static Api,
    handle: *mut Connection,
}

// SAFETY: a session may be used from any thread, one at a time; `&mut self` sees to that.
unsafe impl Send for Session {}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: opened by `connect`, closed here only; results borrow the session, so none is left.
        unsafe { (self.api.chdb_close_conn)(self.handle) }
    }
}

/// What a statement did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) read_rows: u64,
    pub(crate) read_bytes: u64,
    pub(crate) result_rows: u64,
    pub(crate) written_rows: u64,
    pub(crate) written_bytes: u64,
}

/// Pointers to parameters' names and values, for the duration of a call.
struct Bound<'a> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    _texts: std::marker::PhantomData<&'a Params>,
}

impl<'a> Bound<'a> {
    fn new(params: &'a Params) -> Self {
        let mut bound = Self {
            names: Vec::new(),
            name_lengths: Vec::new(),
            values: Vec::new(),
            value_lengths: Vec::new(),
            _texts: std::marker::PhantomData,
        };
        for (name, value) in params.iter() {
            bound.names.push(name.as_ptr().cast());
            bound.name_lengths.push(name.len());
            bound.values.push(value.as_ptr().cast());
            bound.value_lengths.push(value.len());
        }
        bound
    }
}

/// A result handle, destroyed when dropped.
struct Answer {
    api: &'static Api,
    handle: ResultHandle,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by libchdb, destroyed here only.
            unsafe { (self.api.chdb_destroy_query_result)(self.handle) }
        }
    }
}

impl Answer {
    fn checked(api: &'static Api, handle: ResultHandle) -> Result<Self, WarehouseError> {
        let answer = Self { api, handle };
        if handle.is_null() {
            return Err(WarehouseError::Answer("the engine gave no result".into()));
        }
        // SAFETY: a live result handle.
        match text(unsafe { (api.chdb_result_error)(handle) }) {
            Some(message) => Err(WarehouseError::from_text(&message)),
            None => Ok(answer),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: buffer and length belong together and live as long as the handle.
        unsafe {
            let (start, length) = (
                (self.api.chdb_result_buffer)(self.handle),
                (self.api.chdb_result_length)(self.handle),
            );
            if start.is_null() || length == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(start, length)
            }
        }
    }

    fn counts(&self) -> Counts {
        // SAFETY: a live result handle.
        unsafe {
            Counts {
                read_rows: (self.api.chdb_result_storage_rows_read)(self.handle),
                read_bytes: (self.api.chdb_result_storage_bytes_read)(self.handle),
                result_rows: (self.api.chdb_result_rows_read)(self.handle),
                written_rows: (self.api.chdb_result_rows_written)(self.handle),
                written_bytes: (self.api.chdb_result_bytes_written)(self.handle),
            }
        }
    }
}

/// Copies a NUL-terminated text.
fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: libchdb's texts end with NUL and live as long as their handle, which the caller holds.
    Some(
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    )
}

impl Session {
    fn connection(&self) -> Connection {
        // SAFETY: `handle` points at the connection until `drop`.
        unsafe { *self.handle }
    }

    fn call(
        &mut self,
        function: QueryFn,
        sql: &str,
        format: &str,
        params: &Params,
    ) -> ResultHandle {
        let bound = Bound::new(params);
        // SAFETY: texts with their lengths, alive through the call; the session is ours alone.
        unsafe {
            function(
                self.connection(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                bound.names.len(),
            )
        }
    }

    /// Runs a statement and hands its whole answer, in ClickHouse's format of this name, to `read`.
    pub(crate) fn run<T>(
        &mut self,
        sql: &str,
        format: &str,
        params: &Params,
        read: impl FnOnce(&[u8], Counts) -> T,
    ) -> Result<T, WarehouseError> {
        let handle = self.call(self.api.chdb_query_with_params_n, sql, format, params);
        let answer = Answer::checked(self.api, handle)?;
        Ok(read(answer.bytes(), answer.counts()))
    }

    /// Runs a SELECT and hands out pieces of its answer as they come; `take` says whether it wants more.
    ///
    /// Each piece is a document of its own, so the format must be one without head and foot.
    pub(crate) fn run_pieces(
        &mut self,
        sql: &str,
        format: &str,
        params: &Params,
        mut take: impl FnMut(&[u8], Counts) -> bool,
    ) -> Result<(), WarehouseError> {
        let handle = self.call(
            self.api.chdb_stream_query_with_params_n,
            sql,
            format,
            params,
        );
        let query = Answer::checked(self.api, handle)?;
        loop {
            // SAFETY: both handles are live and the session is ours alone.
            let piece =
                unsafe { (self.api.chdb_stream_fetch_result)(self.connection(), query.handle) };
            let piece = Answer::checked(self.api, piece)?;
            if piece.bytes().is_empty() {
                return Ok(());
            }
            if !take(piece.bytes(), piece.counts()) {
                // SAFETY: as above.
                unsafe { (self.api.chdb_stream_cancel_query)(self.connection(), query.handle) };
                return Ok(());
            }
        }
    }

    /// Runs a SELECT and hands out its batches, none of them empty; `take` says whether it wants more. Returns the columns.
    pub(crate) fn run_arrow(
        &mut self,
        sql: &str,
        params: &Params,
        mut take: impl FnMut(RecordBatch) -> bool,
    ) -> Result<SchemaRef, WarehouseError> {
        let bound = Bound::new(params);
        // SAFETY: texts with their lengths, alive through the call; null options are the defaults.
        let handle = unsafe {
            (self.api.chdb_stream_query_arrow_with_params_n)(
                self.connection(),
                sql.as_ptr().cast(),
                sql.len(),
                null(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                bound.names.len(),
            )
        };
        let query = Answer::checked(self.api, handle)?;
        loop {
            let mut stream = FFI_ArrowArrayStream::empty();
            // SAFETY: both handles are live; `stream` is ours and is filled by the call.
            let state = unsafe {
                (self.api.chdb_stream_fetch_arrow)(self.connection(), query.handle, &mut stream)
            };
            if state != 0 {
                // SAFETY: a live result handle.
                let message = text(unsafe { (self.api.chdb_result_error)(query.handle) });
                return Err(message.map_or_else(
                    || WarehouseError::Answer("the engine broke off its answer".into()),
                    |message| WarehouseError::from_text(&message),
                ));
            }
            let reader = ArrowArrayStreamReader::try_new(stream).map_err(unreadable)?;
            let schema = reader.schema();
            let mut any = false;
            for batch in reader {
                let batch = batch.map_err(unreadable)?;
                if batch.num_rows() == 0 {
                    continue;
                }
                any = true;
                check_texts(&batch)?;
                if !take(batch) {
                    // SAFETY: as above.
                    unsafe { (self.api.chdb_stream_cancel_query)(self.connection(), query.handle) };
                    return Ok(schema);
                }
            }
            if !any {
                return Ok(schema);
            }
        }
    }

    /// Inserts a batch: `head` is `INSERT INTO table (columns)`, and the columns are taken in that order.
    pub(super) fn insert_arrow(
        &mut self,
        head: &str,
        rows: RecordBatch,
    ) -> Result<(), WarehouseError> {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let name = format!("millrace_rows_{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let c_name = CString::new(name.as_str())
            .map_err(|error| WarehouseError::Answer(error.to_string()))?;
        let schema = rows.schema();
        let reader: Box<dyn RecordBatchReader + Send> =
            Box::new(RecordBatchIterator::new([Ok(rows)], schema));
        // Lives until after the name is taken back; its own drop releases what was not read.
        let mut stream = FFI_ArrowArrayStream::new(reader);
        // SAFETY: the stream outlives its registration, which ends below whatever happens between.
        let state =
            unsafe { (self.api.chdb_arrow_scan)(self.connection(), c_name.as_ptr(), &mut stream) };
        if state != 0 {
            return Err(WarehouseError::Answer(
                "the engine did not take the rows".into(),
            ));
        }
        let sql = format!("{head} SELECT * FROM arrowstream({name})");
        let outcome = self.run(&sql, "Null", &Params::new(), |_, _| ());
        // SAFETY: as registered above.
        unsafe { (self.api.chdb_arrow_unregister_table)(self.connection(), c_name.as_ptr()) };
        outcome
    }

    /// Inserts data in ClickHouse's format of this name: `head` is `INSERT INTO …` without FORMAT and data.
    pub(crate) fn insert_bytes<'d>(
        &mut self,
        head: &str,
        format: &str,
        params: &Params,
        data: impl Iterator<Item = &'d [u8]>,
    ) -> Result<Counts, WarehouseError> {
        let handle = self.call(
            self.api.chdb_stream_insert_with_params_n,
            head,
            format,
            params,
        );
        let insert = Insert {
            api: self.api,
            handle,
        };
        insert.check()?;
        for piece in data {
            // SAFETY: a live insert handle; the bytes are copied.
            let state = unsafe {
                (self.api.chdb_stream_append)(handle, piece.as_ptr().cast(), piece.len())
            };
            if state != 0 {
                break; // `done` says why
            }
        }
        // SAFETY: a live insert handle, finished once.
        let done = unsafe { (self.api.chdb_stream_done)(handle) };
        let counts = Answer::checked(self.api, done)?.counts();
        drop(insert);
        Ok(counts)
    }
}

/// An insert under way, destroyed when dropped.
struct Insert {
    api: &'static Api,
    handle: InsertHandle,
}

impl Insert {
    fn check(&self) -> Result<(), WarehouseError> {
        if self.handle.is_null() {
            return Err(WarehouseError::Answer("the engine began no insert".into()));
        }
        // SAFETY: a live insert handle.
        match text(unsafe { (self.api.chdb_stream_insert_error)(self.handle) }) {
            Some(message) => Err(WarehouseError::from_text(&message)),
            None => Ok(()),
        }
    }
}

impl Drop for Insert {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by libchdb, destroyed here only.
            unsafe { (self.api.chdb_destroy_insert_stream)(self.handle) }
        }
        self.handle = null_mut();
    }
}

fn unreadable(error: arrow::error::ArrowError) -> WarehouseError {
    let message = error.to_string();
    if message.contains("DB::Exception") {
        WarehouseError::from_text(&message)
    } else {
        WarehouseError::Answer(message)
    }
}

/// ClickHouse strings hold any bytes and arrive marked as UTF-8 unchecked, so they are checked before Rust sees them.
fn check_texts(batch: &RecordBatch) -> Result<(), WarehouseError> {
    for (column, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
        check_data(&column.to_data()).map_err(|error| {
            WarehouseError::Answer(format!(
                "column {} is not UTF-8 ({error}); select hex({}) instead",
                field.name(),
                field.name()
            ))
        })?;
    }
    Ok(())
}

fn check_data(data: &ArrayData) -> Result<(), arrow::error::ArrowError> {
    if matches!(data.data_type(), DataType::Utf8 | DataType::LargeUtf8) {
        data.validate_values()?;
    }
    data.child_data().iter().try_for_each(check_data)
}
