@S3
Feature: Setting the service up
  Seeds S0 (one variable), S1 (the parts of an address) and S3, story 1.3: a developer wants to say once where the database is, and
  to be told in plain words what is wrong with it.

  @S0-3 @postgres
  Scenario: One variable is enough
    Given a new database
    And nothing is configured but DATABASE_URL
    When the service is started
    Then the service becomes ready
    And the details tell that the engine is "postgres"

  @S1-8 @S0-8 @postgres
  Scenario: The parts of an address, with a password of special characters
    Given a new database
    And its address is given as DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME
    When the service is started
    Then the service becomes ready
    And the details tell that the engine is "postgres"

  @S3-4 @postgres
  Scenario: The wrong password
    Given the password is wrong
    When somebody tries to start the service
    Then it ends with exit code 77
    And it advises "correct user and password; with Compose POSTGRES_PASSWORD counts only when the volume is new"
    And it does not tell the password

  @S3-2 @postgres
  Scenario: A generated password needs no care
    Given a new database
    And a role of PostgreSQL with a password that dlc has generated
    When the service is started as that role
    Then the service becomes ready

  @S3-2
  Scenario: No two generated passwords are the same
    When somebody generates two passwords
    Then they differ, and hold nothing that a URL or a shell could stumble over

  @S3-5 @postgres
  Scenario Outline: The address of another framework: <scheme>
    Given a new database
    And its address begins with "<scheme>"
    When the service is started
    Then the service becomes ready
    And it has logged that the suffix "<suffix>" was dropped

    Examples:
      | scheme                | suffix   |
      | postgresql+asyncpg:// | asyncpg  |
      | postgres+psycopg2://  | psycopg2 |

  Scenario: Production assumes nothing
    Given a new database
    And the profile is production, and no signing secret is configured
    When somebody tries to start the service
    Then it ends with exit code 78
    And it says "no signing secret is configured" with the code "configuration_incomplete"

  Scenario: A misspelt variable is told, and stops nobody
    Given a new database
    And somebody has set DLC_SERVER__PROT instead of DLC_SERVER__PORT
    When the service is started
    Then the service becomes ready
    And it has logged that DLC_SERVER__PROT is not known, and that DLC_SERVER__PORT may be meant
