//! Words of praise and complaint in English.

use super::lexicon::Source;

pub(super) static ENGLISH: Source = Source {
    language: "en",
    strong_positive: "\
        amazing amazingly awesome best brilliant delighted delightful excellent excellently exceptional \
        extraordinary exquisite fabulous fantastic flawless flawlessly impeccable incredible love loved \
        loves loving magnificent marvellous marvelous outstanding perfect perfection perfectly phenomenal \
        spectacular splendid stellar stunning sublime superb superbly terrific thrilled tremendous \
        unbeatable wonderful wonderfully wow adore adored ecstatic",
    positive: "\
        accommodating accurate admire affordable agreeable appreciate appreciated appreciates appreciation \
        appreciative approachable attentive attractive beautiful beautifully beneficial better calm \
        capable caring charming cheerful clean clear clearly comfortable commend compliment compliments \
        comfy competent congratulations considerate convenient cordial courteous creative decent \
        dependable diligent easily easy effective effectively efficient efficiently effortless elegant \
        enjoy enjoyable enjoyed enjoying enthusiastic fair fast faster favorite favourite fine flexible \
        fresh friendliness friendly fun generous gentle genuine glad good gorgeous gracious grateful \
        gratitude great handy happily happy healthy helped helpful helping honest hospitable ideal \
        impressed impressive improved improvement informative innovative inspiring intuitive joy kind \
        kindly kindness knowledgeable liked likes lively lovely loyal lucky luxurious modern neat nice nicely \
        organized organised outgoing patient peaceful pleasant pleasantly pleased pleasing pleasure polite \
        politely positive praise precise professional professionalism prompt promptly proud punctual quick \
        quickly quiet recommend recommendation recommended recommending refreshing relaxed relaxing \
        reliable reliably resolved respectful responsive rewarding robust safe satisfaction satisfied \
        satisfying seamless sensible simple sincere skilled smart smile smiled smiling smooth smoothly \
        solid solved spacious stylish success successful successfully supportive tasty thank thankful \
        thanks thorough thoughtful tidy timely top trust trusted trustworthy understanding useful \
        valuable warm welcome welcoming well win worth worthwhile",
    negative: "\
        abrupt aggressive anger angry annoyed annoying anxious arrogant avoid bad badly blame blunt boring \
        broke broken buggy careless chaos chaotic clueless clumsy complain complained complaining complaint \
        complaints complicated concerned confused confusing cracked cramped crash crashed crashes crowded \
        damaged dangerous defect defective defects delay delayed delays difficult dirty disappoint \
        disappointed disappointing disappointment discourteous dishonest dislike disliked dismissive \
        disorganised disorganized dissatisfaction dissatisfied doubt dreary dull error errors exhausting \
        expensive fail failed failing fails failure fake fault faults faulty fear flaw flawed flaws \
        frustrated frustrating frustration fuss glitch glitches glitchy greedy grumpy hassle harsh helpless \
        hostile ignored ignores ignoring impolite impossible inaccurate inadequate incompetent \
        inconvenience inconvenient inefficient inexperienced inferior inflexible insulted insulting \
        irritated irritating issue issues lack lacked lacking lacks lame late lazy leak leaked leaking \
        loud lousy mediocre mess messy misleading misled missed missing mistake mistakes moldy mouldy \
        negative neglect neglected negligent noisy outdated overcharged overcrowded overpriced painful \
        poor poorly problem problematic problems redo regret regretted reject rejected rough rude rudely \
        rudeness sad sadly scratched shabby shame shoddy sick slow slower slowly sloppy smelly sorry \
        stained stale stress stressed stressful struggle struggled struggling stuck stupid suffer suffered \
        suspicious tasteless tedious tired tiresome trouble troubles ugly unacceptable unavailable unclear \
        uncomfortable uncooperative unfair unfortunate unfortunately unfriendly unhappy unhelpful \
        unimpressed unpleasant unprofessional unreliable unresolved unresponsive unsafe unsatisfactory \
        unsatisfied unstable unwelcoming upset upsetting useless vague waste wasted wasting weak weird \
        worried worry worrying worse wrong",
    strong_negative: "\
        abysmal appalling atrocious awful catastrophic cheat cheated cheating deplorable despicable \
        despise disaster disastrous disgrace disgraceful disgust disgusted disgusting dreadful fraud \
        fraudulent furious garbage ghastly hate hated hates hideous horrendous horrible horribly horrid \
        horrific infuriating inexcusable liar lied lying nightmare outraged outrageous pathetic ridiculous \
        ripoff rubbish scam scammed scammer scammers shameful shocking sickening terrible terribly theft \
        thief toxic trash unbearable vile worst worthless",
    phrases: &[
        ("not only", 0.0),
        ("not just", 0.0),
        ("no doubt", 0.0),
        ("nothing but", 0.0),
        ("would like", 0.0),
        ("id like", 0.0),
        ("as well", 0.0),
        ("well as", 0.0),
        ("kind of", 0.0),
        ("top of", 0.0),
        ("by far", 0.0),
        ("so far", 0.0),
        ("far better", 2.5),
        ("far worse", -3.0),
        ("couldnt be better", 3.0),
        ("couldnt be happier", 3.0),
        ("used to", 0.0),
        ("i like", 2.0),
        ("we like", 2.0),
        ("really like", 2.0),
        ("cant wait", 2.0),
        ("can not wait", 2.0),
        ("well done", 2.0),
        ("hats off", 2.0),
        ("thumbs up", 2.0),
        ("five stars", 2.0),
        ("second to none", 3.0),
        ("above and beyond", 3.0),
        ("top notch", 3.0),
        ("thumbs down", -2.0),
        ("let down", -2.0),
        ("fed up", -2.0),
        ("rip off", -3.0),
        ("ripped off", -3.0),
        ("never again", -3.0),
        ("stay away", -3.0),
        ("one star", -2.0),
        ("does not work", -2.0),
        ("doesnt work", -2.0),
        ("did not work", -2.0),
        ("didnt work", -2.0),
        ("stopped working", -2.0),
        ("not working", -2.0),
        ("should be better", -1.5),
        ("could be better", -1.5),
        ("nothing special", -1.5),
        ("no answer", -1.5),
        ("no reply", -1.5),
        ("no response", -1.5),
        ("falls apart", -2.0),
        ("fell apart", -2.0),
    ],
    negations: "\
        no not never none nobody nothing neither nor nowhere without cannot cant dont doesnt didnt isnt \
        arent wasnt werent wont wouldnt couldnt shouldnt hasnt havent hadnt aint hardly barely rarely \
        seldom scarcely far",
    intensifiers: "\
        very really extremely so too absolutely totally completely truly incredibly highly especially \
        particularly exceptionally super utterly deeply remarkably seriously most more much such always",
    diminishers: "\
        slightly somewhat fairly rather quite partly mildly little bit mostly relatively moderately less",
    contrasts: "but however nevertheless nonetheless yet",
    common: "\
        the and is was were are it i you they we he she to of for this that with my your our at on be been \
        have has had not very from there when which would will all just me them their in",
    follows: "",
    clitics: false,
    apostrophe_parts: false,
};
