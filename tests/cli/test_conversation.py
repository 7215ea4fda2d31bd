"""The history of a conversation."""

from __future__ import annotations

from multi_llm_wrapper.cli.conversation import Conversation


def test_messages_are_the_whole_conversation_with_the_open_question_last() -> None:
    """System prompt, questions and answers in turn."""
    talk = Conversation("Be brief.")
    talk.ask("One?").answer = {"role": "assistant", "content": "1"}
    talk.ask("Two?")

    assert [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ] == talk.messages()


def test_a_question_that_got_no_answer_is_forgotten_by_the_next() -> None:
    """A provider never sees two questions in a row."""
    talk = Conversation()
    talk.ask("Lost?")
    talk.ask("Next?")

    assert [{"role": "user", "content": "Next?"}] == talk.messages()


def test_an_interrupted_answer_is_kept_and_marked() -> None:
    """The model is told, too, that it was cut off."""
    talk = Conversation()
    turn = talk.ask("One?")

    assert talk.interrupted(turn, "Well, ")
    assert {"role": "assistant", "content": "Well, [interrupted]"} == talk.messages()[-1]


def test_an_answer_that_had_not_begun_leaves_nothing() -> None:
    """None and blanks are no answer."""
    talk = Conversation()
    turn = talk.ask("One?")

    assert not talk.interrupted(turn, None)
    assert not talk.interrupted(turn, " \n")
    assert turn.answer is None


def test_the_last_turn_is_the_one_to_retry() -> None:
    """None before anything was asked."""
    talk = Conversation()
    assert talk.last() is None
    talk.ask("One?").answer = {"role": "assistant", "content": "1"}
    second = talk.ask("Two?")
    assert second is talk.last()
