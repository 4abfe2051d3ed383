@S1
Feature: Coupons where people have accounts
  Seed S1 sells to everybody; in production (settled with S2 and S3, which have accounts) administrators put coupons on sale and
  people claim for themselves.

  Background:
    Given coupons are for people with accounts
    And the service is running
    And an administrator Grace
    And Ada has signed in

  Scenario: An administrator sells, and Ada claims
    When Grace puts 5 coupons "SALSA" on sale
    And Ada claims "SALSA" for herself
    Then the claim is granted
    And 4 of 5 coupons "SALSA" are left

  Scenario: Ada is no administrator
    When Ada tries to put 5 coupons "SALSA" on sale
    Then she is told that she may not

  Scenario: Nobody claims for somebody else
    Given Grace has put 5 coupons "SALSA" on sale
    When Ada tries to claim "SALSA" for somebody else
    Then she is told that she may not
    And 5 of 5 coupons "SALSA" are left

  Scenario: Whoever has not signed in is asked to
    Given Grace has put 5 coupons "SALSA" on sale
    When Bob claims "SALSA"
    Then he is told to sign in
