@S4
Feature: SQLite by default, PostgreSQL by choice
  Seed S4, story P10-2.5: a user wants PostgreSQL to be optional, so that a small installation needs nothing and a larger one can
  have a robust database.

  @S4-1 @sqlite
  Scenario: Nothing is configured
    Given nothing is configured
    When the service is started
    Then the service becomes ready
    And the embedded database is made at "data/dlc.db", and said
    And the details tell that the engine is "sqlite"

  @S4-1 @postgres
  Scenario: PostgreSQL is asked for
    Given a new database
    When the service is started
    Then the service becomes ready
    And the details tell that the engine is "postgres"
    And no embedded database is made

  @S4-1 @S1-4 @S2-2
  Scenario: The schema is made by itself
    Given a new database
    When the service is started
    Then the service becomes ready
    And the database has the tables users, greet_history, coupons and claims
    And the schema is what the migrations make of it

  @S4-2 @postgres
  Scenario: What concerns SQLite alone does not disturb PostgreSQL
    Given the service is running
    When the database is examined for "SQL001,SQL003,SQL006,SRV002"
    Then nothing wrong is found
    And "SQL001,SQL003,SQL006" are skipped, because they are about sqlite only
    And "SRV002" holds

  @S4-2 @sqlite
  Scenario: What concerns SQLite alone is in force on SQLite
    Given the service is running
    When the database is examined for "SQL001,SQL003,SQL006,SRV002"
    Then nothing wrong is found
    And "SRV002" is skipped, because it is about postgres only
    And "SQL001,SQL003,SQL006" hold

  @S4-6 @sqlite
  Scenario: A larger installation moves from SQLite to PostgreSQL
    Given the service is running
    And 5 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    And Ada has signed in
    And Ada has been greeted 3 times
    When the service is stopped, and everything is moved to a new PostgreSQL
    Then every table is the same on both sides
    When the service is started on PostgreSQL
    Then "SALSA" has been claimed by Ann in that order
    And Ada can sign in with the password "tulip ferry onyx"
    When Ada's client renews her tokens
    And Ada pages through her history, 10 at a time
    Then Ada has seen 3 greetings on 1 pages, the youngest first
    And the details tell that the engine is "postgres"

  @S4-6 @postgres
  Scenario: And it can move back
    Given the service is running
    And 5 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When the service is stopped, and everything is moved to a new SQLite
    Then every table is the same on both sides
    When the service is started on SQLite
    Then "SALSA" has been claimed by Ann in that order
    And the details tell that the engine is "sqlite"

  @S4-6 @sqlite
  Scenario: A move never adds to what somebody else has
    Given the service is running
    And 5 coupons "SALSA" are on sale
    When the service is stopped, and somebody tries to move everything to a PostgreSQL that has coupons
    Then that is refused, because the target is not empty
    And the other database has no coupon "SALSA"
