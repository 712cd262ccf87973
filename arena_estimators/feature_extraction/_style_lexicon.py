"""The words and phrases PairStyleFeatures looks for. All are lower-case, with ' in place of ’.

Phrases are counted as plain text. To be fast, they are counted only in texts where some word begins
with one of the stems named beside them (of a stem, 8 letters matter).
"""

# What a prompt asks for, by its words.
KINDS = {
    "asks_code": "code python javascript java html css sql bash script program function regex api "
    "class c algorithm debug compile",
    "asks_list": "list lists steps ways ideas tips examples items bullet recipe recommend suggest "
    "suggestions names reasons things",
    "asks_table": "table spreadsheet csv columns",
    "asks_brief": "brief briefly short concise summarize summarise summary shorten tldr sentence",
    "asks_prose": "story poem song lyrics essay haiku joke letter email blog article post speech "
    "paragraph write",
    "asks_edit": "rewrite translate correct paraphrase edit fix improve proofread rephrase convert "
    "classify extract",
    "asks_fact": "what who when where which whose",
    "asks_how": "how why explain describe",
    "asks_number": "calculate solve equation sum many much percent probability average",
}
WORD_LISTS = {
    "first_person": "i me my mine myself we us our",
    "hedges": "may maybe perhaps might could possibly probably seems seem likely generally "
    "typically usually often sometimes depends depending",
    "function_words": "a about after all also am an and any are as at be been but by can could did "
    "do does for from had has have he her his how i if in into is it its just like me more most my "
    "no not of on one or our out over she should so some such than that the their them then there "
    "these they this to up us was we were what when where which who will with would you your",
    **KINDS,
}

NOT_ASCII = ""  # in place of stems: count in every text that is not plain ASCII

# What a response says: for each measure, the stems to look for and the phrases to count then.
PHRASES = {
    "refusals": (
        ("cannot", ("i cannot", "cannot assist", "cannot provide", "cannot help")),
        # What follows an apostrophe is a word of its own: here "t", which ends there (hence \0).
        ("t\0", ("i can't", "i won't", "can't assist", "can't provide", "can't help with")),
        ("unable able", ("i am unable", "i'm unable", "i am not able", "i'm not able")),
        ("access", ("i do not have access", "i don't have access")),
        ("decline", ("i must decline",)),
        (
            "comfortable appropriate against",
            ("not comfortable", "not appropriate", "against my"),
        ),
        ("puedo peux kann", ("no puedo", "je ne peux pas", "ich kann nicht")),
        (NOT_ASCII, ("не могу", "无法")),
    ),
    "apologies": (
        ("sorry", ("sorry",)),
        ("apolog", ("apologize", "apologise", "apologies")),
        ("unfortunately", ("unfortunately",)),
        ("siento leid", ("lo siento", "tut mir leid")),
        (NOT_ASCII, ("désolé", "извините", "抱歉", "对不起")),
    ),
    "examples": (
        ("example", ("for example",)),
        ("instance", ("for instance",)),
        ("such", ("such as",)),
        ("g", ("e.g",)),
        ("ejemplo beispiel", ("por ejemplo", "zum beispiel")),
    ),
    "self_mentions": (
        ("ai", ("as an ai", "i'm an ai", "i am an ai")),
        ("model", ("language model",)),
        ("assistant", ("ai assistant",)),
    ),
}
OPENINGS = (
    "sure", "certainly", "of course", "absolutely", "great question", "good question", "hello",
    "hi", "hey", "thank you", "thanks", "i'd be happy", "i would be happy", "here is",
    "here's", "here are", "okay", "yes",
)  # fmt: skip
OFFERS = (
    "let me know", "feel free", "hope this helps", "hope that helps", "if you have any",
    "would you like", "anything else", "happy to help", "need more", "if you need",
)  # fmt: skip
