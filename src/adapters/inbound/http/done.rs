//! The answer of whatever was done and has nothing more to say.

use poem_openapi::ApiResponse;

#[derive(ApiResponse)]
pub(super) enum Done {
    /// It is done.
    #[oai(status = 204)]
    Done,
}
