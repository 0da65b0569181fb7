"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: E501

TEXT = """\
un deux trois quatre cinq six sept huit neuf dix onze douze quinze vingt trente quarante cinquante soixante cent mille premier deuxième troisième demi quart
gagner garçon garder gauche genre gens gentil gouvernement grand grande gris gros groupe guerre habiter haut herbe heure heures heureux hier histoire hiver homme hommes hôtel huile ici idée île important impossible information inquiet jamais jambe jardin jaune jeter jeu jeune joli jouer jour jours journée juste là laisser langue large laver léger lent lequel lettre leur leurs lever libre lieu ligne lire lit livre long longtemps lourd lui lumière lune
Nous n'avons vu personne de l'autre côté de la rivière.
Nous marchons depuis ce matin et nous sommes tous très fatigués.
Nous avons atteint le sommet et nous commençons à redescendre.
Mon frère et sa femme viennent nous voir à la fin du mois.
Les secours sont en route. Restez où vous êtes et couvrez-vous bien.
L'hôpital n'a plus d'oxygène. Est-ce que quelqu'un peut aider ?
Je dois y aller, à bientôt. Prends bien soin de toi !
J'attends depuis plus d'une heure et personne n'est venu.
J'arrive tout de suite. Je suis encore au travail, je te rappelle plus tard.
J'ai terminé le rapport et je te l'envoie cet après-midi.
Il n'y a pas d'eau à la source, remplissez vos bouteilles avant de quitter la vallée.
Est-ce que tu veux venir avec nous samedi ? Il y a de la place dans la voiture.
C'est une urgence. Deux personnes ont disparu depuis ce matin près du vieux pont.
Bonjour, comment vas-tu ? J'espère que tout va bien chez vous.
c'est, ce n'est pas, il est, elle est, ils sont, il y a, il n'y a pas, il y avait, j'ai, je n'ai pas, je suis, je ne suis pas, tu as, tu es, on a, on est, on va, nous avons, nous sommes, vous avez, vous êtes, ils ont, a été, ont été, avait été, était, étaient, sera, serait, peut être, doit être, va être, est-ce que, qu'est-ce que, n'est-ce pas, tout de même, en fait, en train de, en plus, en tout cas, d'abord, d'ailleurs, un peu, un peu plus, beaucoup de, plus de, moins de, trop de, assez de, à côté de, au-dessus de, près de, loin de, jusqu'à, à partir de, tous les, toutes les, quelques, plusieurs
bas bateau beau belle besoin bête bien bientôt blanc bleu boire bois boîte bon bonne bord bouche bout bras bruit bureau cacher café calme campagne carte cas casser cause ceci cela certain chaise chambre champ chance changer chanter chaque chat chaud chaussure chef chemin cher chercher cheval cheveux chez chien chose choses ciel classe clair cœur coin comme commencer comment comprendre compter conduire connaître content contre corps côté coucher couleur couper courir court coûter craindre croire cuisine
Nous avons besoin d'aide, une personne est blessée et ne peut pas marcher. Il nous faut un médecin au plus vite.
Notre position est à deux kilomètres au sud du col, près de la cabane.
Je t'aime et tu me manques beaucoup. Embrasse les enfants pour moi.
accepter acheter accident adresse affaire agréable aider ailleurs aimer ainsi air ajouter aller allumer alors ami amis amie amour ancien animal année années appeler apprendre après arbre argent arrêter arriver asseoir assez attendre attention aucun aujourd'hui aussi autour autre autres avancer avant avec avion avis avoir
quand quelque quelqu'un question quitter raconter raison ramener rappeler recevoir regarder regretter remercier rencontrer rendre rentrer réparer repas répondre reposer restaurant rester réussir rêve réveiller revenir rien rire robe rouge route rue sable sac saison sale salle samedi sang santé sauf sauver savoir sel semaine sembler sens sentir servir seul seulement si siècle simple sœur soigner soir soleil sommeil sortir soudain souvent sucre suivre sujet sûr surtout table tard tasse télévision temps tenir terre tête thé tirer tomber tôt toucher toujours tour tourner tous tout toute toutes travail traverser très triste trop trouver tuer unique utile vacances vallée vendre venir vent ventre vérité verre vers vert vêtement viande vide vie vieux ville vin visage vite vivre voici voilà voir voisin voiture voix voler vouloir voyage vrai vraiment yeux
Je suis en route, je serai là dans une demi-heure.
Nous sommes tous en sécurité. Nous passons la nuit ici et nous repartons demain matin.
Salut tout le monde, nous sommes bien arrivés et tout va bien.
La livraison est retardée jusqu'à mercredi prochain, il faudra faire avec ce que nous avons.
La maison est encore debout, mais il y a de l'eau dans la cave et le toit est à réparer.
Est-ce que tu as reçu mon dernier message ? Je n'ai pas de nouvelles depuis hier.
La voiture est tombée en panne sur l'autoroute et nous attendons la dépanneuse.
La nouvelle antenne fonctionne bien, le nœud est en ligne et la batterie est à quatre-vingts pour cent.
de la, de l', du, des, dans le, dans la, dans les, sur le, sur la, sur les, à la, au, aux, avec le, avec la, avec les, pour le, pour la, pour les, par le, par la, parce que, pour que, avant que, après que, depuis que, pendant que, alors que, tandis que, ce que, ce qui, celui qui, ceux qui, tout ce que, qu'il, qu'elle, qu'on, qu'ils, que je, que tu, que nous, que vous, que le, que la, que les
Où es-tu en ce moment ? Est-ce que tu vois la route de là où tu es ?
Si je peux faire quelque chose pour toi, n'hésite pas à me le dire.
À cause de la tempête, il n'y a plus d'électricité dans presque toute la ville.
J'ai payé la facture ce matin, tu me rendras l'argent quand tu pourras.
Dès que nous en saurons plus, nous vous préviendrons. Le plus vite possible.
À quelle heure est-ce qu'on se retrouve, et à quel endroit ?
Un gros orage arrive par l'ouest. Mettez-vous à l'abri et éloignez-vous des arbres.
Avant de partir, vérifie que tout est bien éteint.
Le courant est revenu dans le nord de la ville, mais le téléphone ne marche toujours pas.
madame magasin main maintenant mais mal malade malheureusement manger manquer marche marié matin mauvais médecin meilleur même mémoire mer mère métier mètre mettre midi mieux milieu minute moins mois moment monde monsieur montagne monter montrer morceau mort mot moteur mourir moyen mur musique naître nature neige nez noir nom nombre nord nos notre nouveau nouvelle nuage nuit numéro obliger œil œuf oiseau ombre oncle ordinateur ordre oreille oublier ouvrir page papa papier pareil parents parfois parler part partie partout pas passer pauvre payer pays peau peine pendant penser perdre père permettre personne petit petite peu peur photo phrase pièce pied pierre place plaisir plein pleurer pleuvoir pluie plus plusieurs plutôt point poisson police porte porter poser possible pousser pouvoir premier prendre préparer présenter presque prêt prix problème prochain produit profond promener propre protéger puis
Bonsoir, je voulais savoir s'il vous reste une chambre pour ce week-end.
Nous avons monté les tentes au bord du lac. Demain nous partons au lever du jour.
Merci, ce serait parfait. Je te dis ça dès que j'en sais un peu plus.
Félicitations à tous les deux, quelle bonne nouvelle ! Joyeux Noël et bonne année.
Je ne peux pas parler maintenant, je suis en réunion. Je t'appelle ce soir.
danger danser début décider dehors déjà dernier dernière derrière descendre dessous dessus devant devenir devoir différent difficile dire direction docteur doigt donc donner dormir dos doucement douleur droit droite dur eau école écouter écrire effet église élève encore endroit enfant enfants enfin ennui ensemble ensuite entendre entrer envie environ envoyer espérer essayer essence état été étoile être étude euros exemple expliquer facile façon faim faire famille fatigué faut faute femme fenêtre ferme fête feuille fille film fils fin finir fleur fois force forêt fort fou frais français frère froid fromage fruit
Il a dit qu'il serait de retour pour le dîner, mais il ne répond pas au téléphone.
Nous sommes au camp et tout va bien. Il fait beau et l'eau est claire.
Les enfants se sont bien amusés à la plage et ils ont dormi pendant tout le trajet.
Mamie est à l'hôpital, mais les médecins disent que ça va aller.
Pas encore, peut-être plus tard. Pas de problème. Bien sûr, pourquoi pas ? Oui, volontiers. Non, merci. Moi aussi. D'accord. Très bien. À tout à l'heure. À plus tard. À demain. Bonne journée. Bon voyage. Bon appétit.
N'oublie pas de fermer la porte à clé et d'éteindre la lumière.
Qui a la clé du dépôt ? Je dois sortir les outils.
Ce n'est pas grave, on le fera une autre fois. Ne t'inquiète pas.
Tournez à gauche au deuxième feu, puis continuez tout droit jusqu'à la rivière.
Il fait très froid ici et il neige depuis trois jours.
Il manque des médicaments, des couvertures, des piles, du carburant et de l'eau potable au refuge.
Nous devons trouver un autre chemin, parce que le pont est fermé.
C'est encore loin, et combien est-ce que ça coûte à peu près ?
Le camion arrive demain matin avec dix caisses de vivres et quatre bidons de gazole.
Nous réessayons dans une heure. Sans nouvelles de notre part, appelez les secours.
Combien de temps faut-il pour venir de la gare jusqu'à chez vous ?
Je ne sais pas encore, mais je pense que oui. Je lui demande et je te dis.
Toutes mes condoléances, nous pensons bien à vous. Gros bisous à toute la famille.
Bonjour, tu as bien dormi ? Nous partons dans dix minutes.
J'ai oublié mon téléphone au bureau, alors écris-moi ici.
lundi mardi mercredi jeudi vendredi samedi dimanche janvier février mars avril mai juin juillet août septembre octobre novembre décembre
Merci beaucoup pour votre aide, c'est vraiment très gentil de votre part.
Envoie-moi tes coordonnées. Message bien reçu. Est-ce que quelqu'un m'entend ?
Le brouillard est si épais qu'on ne voit presque plus le sentier. On fait demi-tour.
L'hélicoptère ne peut pas se poser à cause du vent. L'équipe arrive à pied.
Je vais être en retard, désolé. Commencez sans moi, s'il vous plaît.
L'eau monte très vite. Tout le monde doit quitter la zone immédiatement.
L'école est ouverte, on peut y manger chaud et y dormir.
Ce n'est pas ce que je voulais dire, excuse-moi.
Pourriez-vous apporter du pain, du lait, des œufs et une bouteille d'eau ?
Quand est-ce que tu rentres à la maison ? Tu veux que je prépare quelque chose à manger ?
Elle voudrait savoir si tu peux aller la chercher à l'aéroport vendredi soir.
Qu'est-ce que tu en penses ? Est-ce que jeudi après-midi te convient ?
C'est une bonne idée. Ça me va, on fait comme ça. Tu avais raison.
Le feu a traversé la route et se dirige vers le nord.
Peux-tu me rappeler quand tu auras un moment, s'il te plaît ?
Il y avait beaucoup de monde sur la place et nous n'avons pas pu nous garer.
Nous avons assez de nourriture et d'eau pour les trois prochains jours.
Merci de confirmer que vous avez bien reçu ce message.
Joyeux anniversaire ! Je te souhaite plein de bonnes choses et à très bientôt.
Le blessé est conscient et respire normalement. Il ne saigne plus.
Il faut partir avant six heures pour éviter les bouchons.
Pour autant que je sache, rien n'a changé depuis la semaine dernière.
Le signal est très faible ici. Je réessaierai d'un endroit plus haut.
Le prix a encore augmenté, c'est maintenant mille deux cents pour le tout.
Tout va bien chez toi ? Ici tout est calme, rien de nouveau.
Notre maison est la troisième à gauche, juste après l'église.
Il va sans doute pleuvoir toute la journée, alors prends une veste.
Pourquoi tu ne me l'as pas dit ? Je n'en savais rien du tout.
Le train a vingt minutes de retard. Je suis sur le quai numéro trois.
Dis aux autres que la réunion a été reportée à mardi à dix heures.
Ils ont dit qu'ils seraient là à huit heures, mais il n'y a toujours personne.
La route entre le village et la vallée est bloquée par des arbres tombés.
Le magasin est fermé aujourd'hui, il faudra que j'aille au marché samedi.
Peux-tu m'envoyer l'adresse de l'hôtel où vous êtes ?
Est-ce que ça va ? Tu as besoin d'aide ? Donne des nouvelles dès que possible.
La petite a de la fièvre et tousse beaucoup. Y a-t-il un médecin près d'ici ?
Ma mère demande si vous voulez venir manger dimanche midi.
Nous sommes une vingtaine, dont cinq enfants et une femme âgée.
Combien de couvertures vous reste-t-il ? Il nous en faudrait encore cinquante.
Je ne crois pas que nous puissions y arriver avant la nuit.
Si tu veux, tu peux rester quelques jours avec nous.
Mon téléphone n'a presque plus de batterie, je vais l'éteindre un moment.
Vous pouvez laisser la voiture à côté de la maison, les clés sont sous le pot de fleurs.
Fais attention, s'il te plaît, la route est très glissante ce soir.
Bonne nuit, dors bien, à demain matin.
Je n'ai pas trouvé la clé, elle doit être quelque part dans la cuisine.
J'ai hâte de vous revoir tous. Je suis content que tu ailles mieux.
Après ça, nous sommes descendus au bord de l'eau et nous avons mangé un peu.
J'aimerais bien venir, mais je dois travailler jusqu'à cinq heures.
Qui est-ce qui vient avec nous ? Combien de personnes en tout ?
Elle s'est blessée à la jambe et ne peut pas marcher toute seule.
Il n'y a rien que nous puissions faire pour le moment.\
"""
