@S0
Feature: The start gate
  Seed S0, goal G3: whoever brings the service up wants it to look at its database and its schema before it serves anybody, and
  to say at once what is wrong, so that nobody works with half a service.

  @S0-1
  Scenario: The service tells that it lives, and shows its documentation
    Given the service is running
    Then "/healthz" answers 200 and says
      """
      {"status":"ok"}
      """
    And "/healthz" refuses whoever wants to do more than ask
    And the documentation is at "/swagger" and describes "/healthz"

  @S0-4 @S0-5
  Scenario: Nothing is served before the schema is there
    Given a new database
    And somebody else is migrating it
    When the service is started
    Then it lives
    But it serves nothing yet
    And it tells that it is checking the schema
    When the other one is done
    Then the service becomes ready
    And it serves coupons

  @S0-4 @postgres
  Scenario: Nothing is served while the database cannot be reached
    Given the database cannot be reached
    When the service is started
    Then it lives
    But it serves nothing yet
    And it tells that it is connecting

  @S0-4 @S0-8 @postgres
  Scenario Outline: Without its database the service gives up and says why: <what is wrong>
    Given <what is wrong>
    When somebody tries to start the service
    Then it ends with exit code <exit code>
    And it says "<message>" with the code "<code>"
    And it does not tell the password

    Examples:
      | what is wrong                  | exit code | code                           | message                        |
      | the database cannot be reached | 69        | database_connection_refused    | connection refused             |
      | the database does not exist    | 69        | database_missing               | does not exist                 |
      | the password is wrong          | 77        | database_authentication_failed | password authentication failed |

  @S0-4 @sqlite
  Scenario Outline: Without its database file the service gives up and says why: <what is wrong>
    Given <what is wrong>
    When somebody tries to start the service
    Then it ends with exit code 69
    And it says "<message>" with the code "<code>"

    Examples:
      | what is wrong                              | code                  | message                |
      | the database's folder does not exist       | database_file_missing | does not exist         |
      | a letter lies where the database should be | database_file_invalid | file is not a database |

  @S0-4 @S0-5
  Scenario: A migration that fails ends the start
    Given a new database
    And a table called "coupons" of somebody else's is in it
    When somebody tries to start the service
    Then it ends with exit code 1
    And it says "already exists" with the code "migration_failed"
    And migrations are pending still

  @S0-8 @postgres
  Scenario: A database that comes late is waited for
    Given a PostgreSQL server that has been stopped
    When the service is started
    Then it lives
    But it serves nothing yet
    When the database comes back
    Then the service becomes ready
    And it serves coupons

  @S0-9
  Scenario: Two starts leave one row of bootstrap metadata
    Given a new database
    When the service is started and stopped
    And the service is started and stopped
    Then the database says once that its bootstrap version is 1

  @S0-9
  Scenario: Two instances that start at once migrate a new database once
    Given a new database
    When two instances are started at once
    Then both become ready
    And each migration was applied once
    And the database says once that its bootstrap version is 1

  @S0-11
  Scenario: A port that somebody else has
    Given a new database
    And another program has the service's port
    When somebody tries to start the service at that port
    Then it ends with exit code 1
    And it says "address already in use" with the code "listen_failed"
    And it advises "another program has that port: stop it, or take another one with --port"
