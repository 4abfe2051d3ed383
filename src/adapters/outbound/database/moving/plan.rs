//! What is found out of both sides before the first row is read: whether one can take what the other has. Writes nothing. Not here:
//! whether each value can be taken (`snapshot`).

use std::sync::Arc;

use dlc_application::{
    operations::{
        migrate::{ObjectKind, SchemaObject},
        moving::{MoveError, Side},
    },
    ports::{
        connection::ConnectFailure,
        inspection::Engine,
        migrations::{MigrateError, SchemaMigrator},
    },
};

use super::{
    SqlMover, postgres,
    structure::{self, Table},
};
use crate::{error, migrator::SqlMigrator, schema::catalogue, session::Session};

/// What was found out before the first row is read.
pub(super) struct Plan {
    pub(super) tables: Arc<Vec<Table>>,
    /// The target has the schema already, or a file of its own.
    pub(super) target_exists: bool,
}

pub(super) fn schema(side: Side) -> impl Fn(MigrateError) -> MoveError {
    move |error| match error {
        MigrateError::Connect(error) => error.into(),
        error => MoveError::Schema { side, error },
    }
}

impl SqlMover {
    /// Looks at both sides, and writes nothing.
    pub(super) async fn plan(&self) -> Result<Plan, MoveError> {
        let source_objects = self.look_at_source().await?;
        let migrator = SqlMigrator::new(&self.target, self.settings);
        let history = migrator.history().await.map_err(schema(Side::Target))?;
        history.validate().map_err(|error| schema(Side::Target)(error.into()))?;
        let live = match Session::looking(&self.target).await? {
            None => None,
            Some(mut session) => {
                let objects = self.look_at_target(&mut session, history.is_recorded()).await;
                session.close().await;
                Some(objects?)
            }
        };
        let target_exists = live.is_some();
        let target_objects = match live {
            Some(live) if history.is_recorded() && history.pending().next().is_none() => live,
            _ => migrator.blueprint().await.map_err(schema(Side::Target))?,
        };
        let different = structure::differences(&source_objects, &target_objects);
        if !different.is_empty() {
            return Err(MoveError::StructureDiffers(different));
        }
        let of_postgres = match self.source.url.engine() {
            Engine::Postgres => source_objects,
            Engine::Sqlite => target_objects,
        };
        let tables = structure::tables(&of_postgres).map_err(|what| MoveError::StructureDiffers(vec![what]))?;
        Ok(Plan {
            tables: Arc::new(tables),
            target_exists,
        })
    }

    async fn look_at_source(&self) -> Result<Vec<SchemaObject>, MoveError> {
        let migrator = SqlMigrator::new(&self.source, self.settings);
        let Some(mut session) = Session::looking(&self.source).await? else {
            let cause = "the file does not exist";
            return Err(error::failed(ConnectFailure::FileMissing, cause, &self.source.url).into());
        };
        let history = migrator.history().await.map_err(schema(Side::Source))?;
        history.validate().map_err(|error| schema(Side::Source)(error.into()))?;
        if !history.is_recorded() {
            return Err(MoveError::NeverMigrated);
        }
        if let pending @ 1.. = history.pending().count() {
            return Err(MoveError::Pending(pending));
        }
        let objects = catalogue::objects(&mut session).await;
        session.close().await;
        objects.map_err(postgres::failed(Side::Source))
    }

    /// The objects of a target that has no rows.
    async fn look_at_target(&self, session: &mut Session, is_recorded: bool) -> Result<Vec<SchemaObject>, MoveError> {
        let failed = postgres::failed(Side::Target);
        if session.engine() == Engine::Postgres {
            let encoding = session
                .text("SELECT current_setting('server_encoding')", &[])
                .await
                .map_err(&failed)?;
            if let Some(encoding) = encoding.filter(|encoding| encoding != "UTF8") {
                return Err(MoveError::Encoding(encoding));
            }
        }
        let objects = catalogue::objects(session).await.map_err(&failed)?;
        let names = || {
            objects
                .iter()
                .filter(|object| object.kind == ObjectKind::Table)
                .map(|object| object.name.clone())
        };
        let occupied = if is_recorded {
            let table = |name| Table {
                name,
                columns: Vec::new(),
                key: Vec::new(),
                foreign_keys: Vec::new(),
                checks: Vec::new(),
                unique_lower: Vec::new(),
            };
            // Its backups are its own, and stay.
            let tables: Vec<Table> = names().filter(|name| !structure::stays(name)).map(table).collect();
            postgres::occupied(session, &tables).await.map_err(&failed)?
        } else {
            // Tables of somebody else's are no place to migrate into.
            names().collect()
        };
        if occupied.is_empty() {
            Ok(objects)
        } else {
            Err(MoveError::NotEmpty(occupied))
        }
    }
}
