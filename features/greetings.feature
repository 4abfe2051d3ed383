@S2 @S2-12
Feature: Greetings that are remembered
  Seed S2: a dancer wants to be greeted in person, and to find again what was said; a greeting can be recorded with what mattered
  about it, and everybody pages through their own.

  Background:
    Given the service is running

  Scenario: Whoever comes along is greeted, and whoever is named is greeted by name
    Then whoever has not signed in is greeted with "Hello world!"
    And whoever greets "Eve" says "Hello Eve!"

  Scenario: A greeting in passing is not remembered
    Given Ada has signed in
    Then Ada is greeted with "Hello ada!"
    And Ada's history is empty

  Scenario: Ada pages through her history
    Given Ada has signed in
    And Ada has been greeted 25 times
    When Ada pages through her history, 10 at a time
    Then Ada has seen 25 greetings on 3 pages, the youngest first

  Scenario: Greetings that come while Ada pages neither repeat nor hide others
    Given Ada has signed in
    And Ada has been greeted 25 times
    When Ada pages through her history, 10 at a time, and is greeted again after each page
    Then Ada has seen 25 greetings on 3 pages, the youngest first

  Scenario: A greeting remembers what mattered about it
    Given Ada has signed in
    When Ada is greeted in the context {"lesson": {"style": "salsa", "level": 2}}
    Then Ada's youngest greeting has the context {"lesson": {"style": "salsa", "level": 2}}

  Scenario: Nobody sees anybody else's greetings
    Given Ada has signed in
    And Bob has signed in
    And Ada has been greeted 1 times
    Then Bob's history is empty
    And Bob cannot find Ada's greeting
