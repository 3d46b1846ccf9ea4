//! Words of praise and complaint in French.

use super::lexicon::Source;

pub(super) static FRENCH: Source = Source {
    language: "fr",
    strong_positive: "\
        adore* bravo enchanté enchantée enchantés enchantées excellent* exceptionnel* extraordinaire* \
        fabuleux fabuleuse* fantastique* formidable* génial* géniaux impeccable* incroyable* magnifique* \
        meilleur* merveilleux merveilleuse* parfait* ravi ravie ravis ravies remarquable* splendide* \
        sublime* superbe* top excellence époustouflant* inoubliable*",
    positive: "\
        abordable* accueillant* agréable* aimable* aime aimes aiment apprécie* appréciable* attentif \
        attentive* attentionné* avantageux beau belle* beaux bien bienveillant* bienveillance bon bonne \
        bonnes bons calme* chaleureux chaleureuse* charmant* clair claire clairs claires confortable* \
        compétent* content contente contents contentes convivial* conviviaux correct* courtois* délicieux \
        délicieuse* disponible* doux douce efficace* élégant* facile* félicitations fiable* fidèle* fluide* \
        gentil* généreux généreuse* heureux heureuse* honnête* idéal idéale idéalement impressionnant* \
        impressionné* intéressant* innovant* joli* merci mieux moderne* pertinent* plaisir* plaît plu \
        ponctuel* poli polie polis polies pratique* précis précise professionnel* propre* rapide* \
        ravissant* rassurant* rassuré* réactif réactive* réactivité recommande* réglé réglée \
        résolu résolue réussi* réussite* respectueux respectueuse* satisfait* satisfaisant* satisfaction* \
        serviable* simple simples sincère* solide* souriant* sourire* spacieux spacieuse* super sympa sympas \
        sympathique* tranquille* utile* valable* volontiers succès confiance",
    negative: "\
        abîmé* agacé* agaçant* agressif agressive* annulé* attente* bruyant* bug bugs cassé cassée cassés \
        cassées cher chère chers chères compliqué* confus* décevant* déception* déçu déçue déçus déçues \
        défaillant* défaut* défectueux défectueuse* dégradé* déplaisant* désagréable* désolé* désordre* \
        désorganisé* difficile* difficulté* dommage* douteux douteuse* échec* embêtant* endommagé* ennui \
        ennuis ennuyeux ennuyeuse* énervé* énervant* erreur* fâché* faible* fatigué* fatigant* faute fautes \
        froideur frustré* frustrant* frustration* fuite fuites gâché* gênant* ignoré* impoli* impolitesse \
        impossible* incapable* incompétent* incomplet* incorrect* inefficace* inquiet* inquiétant* \
        insatisfait* insuffisant* inutile* inutilisable* introuvable* lent lente lents lentes lenteur* \
        litige* mal malheureusement manque* mauvais mauvaise* mécontent* médiocre* méfiance mensonge* \
        mépris moche* négatif négative* négligent* négligence* obsolète* panne pannes perdu perdue perdus perdues \
        perte* pénible* plainte* plaindre problème* redire refus* regrette* raté ratée ratés ratées \
        réclamation* retard* sale sales saleté* souci soucis stressé* stressant* surfacturé* triste* \
        trompé* trompeur* tromperie vieillot* décourageant* injuste* inadapté* insulté*",
    strong_negative: "\
        affreux affreuse* arnaque* catastrophe* catastrophique* cauchemar* dégoûtant* déplorable* désastre* \
        désastreux désastreuse* détestable* déteste* escroc escrocs escroquerie* exécrable* honte* honteux \
        honteuse* horrible* hideux infect* inacceptable* inadmissible* insupportable* intolérable* \
        lamentable* minable* nul nulle nuls nulles pire pires pitoyable* ridicule* scandale* scandaleux \
        scandaleuse* terrible* voleur* épouvantable* abominable*",
    phrases: &[
        ("non seulement", 0.0),
        ("bien que", 0.0),
        ("bien sûr", 0.0),
        ("ou bien", 0.0),
        ("eh bien", 0.0),
        ("vous plaît", 0.0),
        ("te plaît", 0.0),
        ("un peu", 0.0),
        ("sans doute", 0.0),
        ("cher monsieur", 0.0),
        ("chère madame", 0.0),
        ("pas mal", 1.5),
        ("pas terrible", -1.5),
        ("pas cher", 2.0),
        ("pas chère", 2.0),
        ("pas chers", 2.0),
        ("de cœur", 2.0),
        ("au top", 3.0),
        ("chapeau bas", 2.0),
        ("hors service", -2.0),
        ("plus jamais", -3.0),
        ("à désirer", -2.0),
        ("à fuir", -3.0),
        ("à éviter", -3.0),
        ("peut mieux faire", -1.5),
        ("ne fonctionne pas", -2.0),
        ("ne marche pas", -2.0),
        ("aucune réponse", -1.5),
        ("pas de réponse", -1.5),
    ],
    negations: "ne n pas jamais aucun aucune rien ni sans non nullement guère peu",
    intensifiers: "\
        très vraiment extrêmement tellement trop si hyper ultra totalement complètement absolument \
        particulièrement vivement fortement beaucoup énormément toujours franchement plus",
    diminishers: "assez plutôt légèrement moyennement relativement quasi parfois presque",
    contrasts: "mais cependant pourtant toutefois néanmoins",
    common: "\
        le la les l et est était étaient sont je j vous il elle nous ils on de des du d pour ce c cette ces \
        avec mon ma mes notre votre un une au aux dans sur par qui que qu très pas ne n a ai été",
    follows: "pas",
    clitics: false,
    apostrophe_parts: true,
};
