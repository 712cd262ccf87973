"""The words `make_battles` writes its battles from; `{s}` is the subject asked about."""

MODELS = (
    "alder-7b", "basalt-13b", "cinder-mini", "dune-large", "ember-chat", "fjord-8b",
    "garnet-70b", "harbor-2", "indigo-pro", "juniper-9b", "kelp-instruct", "lumen-xl",
)  # fmt: skip

# Per language: prompts, endings of a prompt, later turns, openings, refusals, sentences, subjects.
ENGLISH = {
    "prompts": [
        "What is the best way to understand {s}?",
        "Explain {s}",
        "Write a short text about {s}.",
        "I have a question about {s}. Where should I start?",
        "Give me five facts on {s}.",
        "hi, can you help me with {s} please",
        "You are an expert. Compare the common opinions on {s} and pick one.",
        "Summarise what matters about {s}",
    ],
    "endings": [
        "", "", "", " Keep it short.", " I am ten years old.", " Use a list.", " Be precise.",
        " No jargon, please.", " Think step by step.", " Give an example.", " I have two hours.",
        " It is for my homework.", " Answer as a teacher would.", " Why does it matter?",
    ],
    "later": [
        "Can you say more about {s}?",
        "Thanks! And what would you do next?",
        "That is wrong. Try again.",
        "Shorter, please.",
        "Now give me an example with {s}.",
        "Are you sure?",
    ],
    "openings": [
        "Sure!", "Certainly! Here is an overview.", "Great question.", "Let's look at it together.",
        "Here is what I would say.", "In short:", "",
    ],
    "refusals": [
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "As an AI language model, I am not able to answer this.",
        "I'm unable to discuss that topic.",
    ],
    "sentences": [
        "The first thing to know about {s} is that small steps work best.",
        "Many people find {s} difficult at first.",
        "There are several good books on {s}, and most of them agree.",
        "With {s}, the order of the steps matters more than their speed.",
        "Experts disagree about {s}, so compare two sources.",
        "A common mistake with {s} is to skip the basics.",
        "For example, {s} looked quite different twenty years ago.",
        "You can learn the core of {s} in about 3 weeks.",
        "It helps to write down what you already know about {s}.",
        "Costs vary: expect between $20 and $150 for {s}.",
        "Is it worth the effort to study {s}? In most cases it is!",
        "See https://example.org/guide for more on {s}.",
        "In practice, {s} depends on the details of your situation.",
        "The history of {s} goes back further than most people think.",
        "Start with one part of {s}, test it, and only then go on.",
        "Nobody masters {s} in a day, and that is fine.",
    ],
    "subjects": [
        "sourdough bread", "a vegetable curry", "train travel in Italy", "the French Revolution",
        "the Roman aqueducts", "photosynthesis", "black holes", "plate tectonics", "vaccines",
        "a job interview", "a cover letter", "compound interest", "index funds", "tax returns",
        "marathon training", "back pain", "good sleep", "meditation", "the offside rule",
        "chess openings", "a haiku on autumn", "a story with a dragon", "song lyrics",
        "prime numbers", "the quadratic formula", "conditional probability", "Bayes' theorem",
        "house plants", "bicycle brakes", "a leaking tap", "solar panels", "electric cars",
        "the Turing test", "free will", "the trolley problem", "stoic philosophy",
        "the rules of cricket", "Japanese tea", "wedding speeches", "puppy training",
        "Shakespeare's sonnets", "jazz improvisation", "city planning", "coral reefs",
    ],
}  # fmt: skip

CODE = {
    **ENGLISH,
    "prompts": [
        "Write a function that does {s}.",
        "My program fails at {s}: `TypeError: 'NoneType' object is not iterable`. Why?",
        "How do I do {s} in Python?",
        "Refactor this:\n```python\ndef f(x):\n    # {s}\n    return x[0]+x[1]\n```",
        "What is the complexity of {s}?",
    ],
    "subjects": [
        "binary search", "merge sort", "parsing a CSV file", "reversing a linked list",
        "a SQL join", "reading JSON", "matrix multiplication", "a regex for dates",
        "async requests", "memoisation", "unit tests", "a Dockerfile", "git rebase",
        "type hints", "a REST endpoint", "breadth-first search",
    ],
    "blocks": [
        "```python\ndef solve(items):\n    \"\"\"{s}.\"\"\"\n    return sorted(set(items))\n```",
        "```python\nimport json\n\nwith open('data.json') as file:\n    rows = json.load(file)\n"
        "print(len(rows))  # {s}\n```",
        "```sql\nSELECT name, COUNT(*) AS n FROM users GROUP BY name ORDER BY n DESC; -- {s}\n```",
        "```javascript\nconst kept = items.filter((x) => x != null).map(double); // {s}\n```",
        "```bash\ngit log --oneline | head -n 5  # {s}\n```",
    ],
}  # fmt: skip

SPANISH = {
    "prompts": ["¿Qué es {s}?", "Explícame {s}, por favor.", "Escribe un texto sobre {s}."],
    "endings": ["", "", " Sé breve.", " Tengo diez años.", " Usa ejemplos.", " Es para mi clase."],
    "later": ["¿Puedes decir más sobre {s}?", "Gracias. ¿Y después?", "Más corto, por favor."],
    "openings": ["¡Claro!", "Por supuesto.", "Buena pregunta.", ""],
    "refusals": ["Lo siento, pero no puedo ayudar con eso.", "No puedo responder a esta petición."],
    "sentences": [
        "Lo más importante de {s} es empezar poco a poco.",
        "Muchas personas piensan que {s} es difícil.",
        "Por ejemplo, {s} era muy diferente hace 20 años.",
        "Los expertos no siempre están de acuerdo sobre {s}.",
        "Con paciencia se aprende mucho sobre {s}.",
        "¿Vale la pena {s}? Casi siempre, ¡sí!",
    ],
    "subjects": ["la fotosíntesis", "el ajedrez", "la paella", "la Guerra Civil", "el interés"],
}
GERMAN = {
    "prompts": ["Was ist {s}?", "Erkläre mir bitte {s}.", "Schreibe einen Text über {s}."],
    "endings": ["", "", " Bitte kurz.", " Ich bin zehn.", " Mit Beispiel.", " Für die Schule."],
    "later": ["Kannst du mehr über {s} sagen?", "Danke! Und danach?", "Kürzer, bitte."],
    "openings": ["Gerne!", "Natürlich.", "Gute Frage.", ""],
    "refusals": [
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Das kann ich nicht beantworten.",
    ],
    "sentences": [
        "Bei {s} kommt es vor allem auf die Grundlagen an.",
        "Viele Menschen finden {s} zunächst schwierig.",
        "Zum Beispiel sah {s} vor 20 Jahren ganz anders aus.",
        "Über {s} sind sich die Fachleute nicht einig.",
        "Mit etwas Übung wird {s} schnell verständlich.",
        "Lohnt sich {s}? Meistens schon!",
    ],
    "subjects": ["Photosynthese", "Schach", "Sauerteigbrot", "die Hanse", "der Zinseszins"],
}
FRENCH = {
    "prompts": ["Qu'est-ce que {s} ?", "Explique-moi {s}.", "Écris un texte court sur {s}."],
    "endings": [
        "",
        "",
        " Sois bref.",
        " J'ai dix ans.",
        " Avec un exemple.",
        " C'est pour l'école.",
    ],
    "later": ["Peux-tu en dire plus sur {s} ?", "Merci ! Et ensuite ?", "Plus court."],
    "openings": ["Bien sûr !", "Volontiers.", "Bonne question.", ""],
    "refusals": ["Je suis désolé, mais je ne peux pas vous aider.", "Je ne peux pas répondre."],
    "sentences": [
        "Pour {s}, il faut d'abord maîtriser les bases.",
        "Beaucoup de gens trouvent {s} difficile au début.",
        "Par exemple, {s} était très différent il y a 20 ans.",
        "Les spécialistes ne sont pas d'accord sur {s}.",
        "Avec de la patience, {s} devient plus clair.",
        "Est-ce que {s} en vaut la peine ? Souvent, oui !",
    ],
    "subjects": ["la photosynthèse", "le jeu d'échecs", "la baguette", "la Révolution", "le vélo"],
}
CHINESE = {
    "prompts": ["什么是{s}？", "请解释一下{s}。", "写一篇关于{s}的短文。"],
    "endings": ["", "", "请简短回答。", "我今年十岁。", "请举例说明。", "这是我的作业。"],
    "later": ["可以多说一点{s}吗？", "谢谢！然后呢？", "请更短一些。"],
    "openings": ["当然！", "好的。", "这是个好问题。", ""],
    "refusals": ["对不起，我无法帮助你。", "抱歉，我不能回答这个问题。"],
    "sentences": [
        "学习{s}最重要的是打好基础。",
        "很多人一开始觉得{s}很难。",
        "例如，二十年前的{s}完全不同。",
        "专家们对{s}的看法并不一致。",
        "只要有耐心，{s}并不难。",
        "{s}值得花时间吗？通常是值得的！",
    ],
    "subjects": ["光合作用", "围棋", "红烧肉", "丝绸之路", "复利"],
}
RUSSIAN = {
    "prompts": ["Что такое {s}?", "Объясни, пожалуйста, тему «{s}».", "Напиши текст: {s}."],
    "endings": ["", "", " Коротко.", " Мне десять лет.", " С примером.", " Это для школы."],
    "later": ["Расскажи больше: {s}.", "Спасибо! А дальше?", "Короче, пожалуйста."],
    "openings": ["Конечно!", "С удовольствием.", "Хороший вопрос.", ""],
    "refusals": ["Извините, я не могу с этим помочь.", "Я не могу ответить на этот вопрос."],
    "sentences": [
        "Главное в теме «{s}» — это основы.",
        "Многим сначала трудно понять, что такое {s}.",
        "Например, {s} 20 лет назад выглядит совсем иначе.",
        "Специалисты спорят о том, что такое {s}.",
        "Немного терпения, и {s} станет понятнее.",
        "Стоит ли изучать {s}? Чаще всего да!",
    ],
    "subjects": [
        "фотосинтез",
        "игра в шахматы",
        "борщ",
        "транссибирская магистраль",
        "сложный процент",
    ],
}

# Languages and their shares of the battles.
LANGUAGES = (ENGLISH, CODE, SPANISH, GERMAN, FRENCH, CHINESE, RUSSIAN)
SHARES = (0.66, 0.14, 0.04, 0.04, 0.04, 0.04, 0.04)
