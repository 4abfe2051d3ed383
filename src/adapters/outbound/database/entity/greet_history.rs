//! The table `greet_history`.

#![allow(missing_docs, unreachable_pub)] // names and types are the columns'; SeaORM's derives want `pub`

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "greet_history")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub created_at: Option<DateTimeUtc>,
    pub user_id: Option<i32>,
    pub message: String,
    pub context: Option<Json>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
