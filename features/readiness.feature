@S2
Feature: Readiness
  Seed S2, "Readiness endpoint enhancement": whoever sends requests to an instance, or looks after it, wants it to say itself
  whether it can take them, in these very words.

  @S2-5 @postgres
  Scenario: Healthy: PostgreSQL answers
    Given the service is running
    Then "/api/ready" answers 200 and says
      """
      {"ready":true,"connections":{"database":{"status":"healthy"}}}
      """

  @S2-5 @sqlite
  Scenario: Not configured: SQLite has no server to connect to
    Given the service is running
    Then "/api/ready" answers 200 and says
      """
      {"ready":true,"connections":{"database":{"status":"not_configured"}}}
      """

  @S2-5 @postgres
  Scenario: Database unhealthy: PostgreSQL has gone away
    Given the service is running on a database that can be taken away
    When the database goes away
    Then "/api/ready" answers 503 and says
      """
      {"ready":false,"reason":"database_unhealthy","connections":{"database":{"status":"unhealthy","error":"connection refused"}}}
      """

  @S2-5 @sqlite
  Scenario: Database unhealthy: the SQLite file has gone away
    Given the service is running on a database that can be taken away
    When the database goes away
    Then "/api/ready" answers 503 and says
      """
      {"ready":false,"reason":"database_unhealthy","connections":{"database":{"status":"unhealthy","error":"database file missing"}}}
      """

  @S2-5
  Scenario: Shutting down
    Given the service takes its time to stop
    And the service is running
    When the service is asked to stop
    Then "/api/ready" answers 503 and says
      """
      {"ready":false,"reason":"server_shutting_down","connections":{"database":"not_checked"}}
      """

  @S1-7
  Scenario: The health of the coupon system
    Given the service is running on a database that can be taken away
    Then "/health" answers 200 and says
      """
      {"status":"healthy"}
      """
    When the database goes away
    Then "/health" answers 503 and says
      """
      {"status":"unhealthy","error":"database connection failed"}
      """

  @S2-6
  Scenario: Details of the database
    Given the service is running
    Then the details tell the engine, its version and how long it takes to answer
    And the details tell that every migration is applied
    And the details tell how the connections are used

  @S2-6
  Scenario: Figures of the database
    Given the service is running
    When 3 coupons are looked at
    Then the figures count 3 operations of the database
    And the figures tell how long they took, and that none has failed
