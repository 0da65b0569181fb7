"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: E501

TEXT = """\
in der, in den, in dem, in die, auf der, auf den, auf dem, auf die, an der, an die, mit der, mit dem, mit den, von der, von dem, von den, zu den, für die, für den, für das, über die, über den, nach der, nach dem, aus der, aus dem, bei der, um die, durch die, und die, und der, und das, und ich, und wir, dass die, dass der, dass wir, dass ich, dass es, dass er, dass du
Wo bist du gerade? Kannst du die Straße von dort aus sehen?
Wie viele Decken habt ihr noch? Wir könnten noch fünfzig gebrauchen.
Wer hat den Schlüssel für das Lager? Ich muss das Werkzeug herausholen.
Jacke Jahr Jahre jede jeden jemand jetzt jung Junge kaputt Karte Kartoffel Katze kaufen kein keine keinen kennen Kind klar klein kleine kochen Koffer kommen König Kopf Körper krank Krieg Kuchen kühl Kunde kurz lachen Land lang langsam lassen laufen laut leben Leben legen lehren leicht leider leise lernen lesen letzte letzten Leute Licht lieber Lied liegen links los Luft lustig machen Mädchen manchmal Mann Maschine Meer mehr Mensch Menschen merken Messer Milch Minute mögen möglich Monat Mond Motor Mund Musik müssen Mutter
Ich muss jetzt los, wir sehen uns bald. Pass auf dich auf!
Ich bin unterwegs und in einer halben Stunde bei euch.
Hallo zusammen, wir sind gut angekommen und es geht uns allen gut.
Geht es dir gut? Brauchst du Hilfe? Melde dich bitte, sobald du kannst.
Die Kinder hatten am Strand viel Spaß und haben auf der Heimfahrt im Auto geschlafen.
Das macht nichts, wir machen das ein anderes Mal.
Das ist eine gute Idee. Das klingt gut, so machen wir es.
Nachbar Nachricht nächste nächsten nah Name nass Natur neben nehmen nennen nett neu neue neuen nichts nie nieder niemand nirgends normal Nummer nur nutzen oben Obst oder offen öffnen oft ohne Ohr Ordnung Ort Papier passieren Pause Pferd Pflanze Platz plötzlich Polizei Preis prüfen Punkt Quittung Rad Radio rechts Regen reich Reihe reisen rennen richtig Richtung riechen rot rufen Ruhe ruhig rund Sache sagen Salz sammeln Satz sauber scheinen Schiff schlafen schlagen schlecht schließen schlimm Schloss schneiden schnell schon schreiben schreien Schuh Schule schützen schwarz schwer Schwester schwimmen See sehen sehr seine seit Seite selber selbst selten setzen sicher singen sitzen sofort sogar Sohn Soldat sollen Sommer sondern Sonne sonst sparen spät Spiel spielen sprechen springen Stadt stark statt stehen steigen Stein Stelle stellen sterben still Stimme Stock stören Straße Strecke streiten Stück Stuhl Stunde suchen Süden
Tag Tage tanzen Tasche Teil Teller teuer tief Tier Tisch Tochter Topf tot tragen Traum traurig treffen Treppe trinken trocken trotzdem Tuch über überall überhaupt übrig Uhr umsonst Umweg ungefähr unten unter Unterschied Urlaub Vater verbinden verboten vergessen verkaufen verlieren verschieden versprechen verstehen versuchen viel viele vielleicht Vogel voll vorbei vorher vorne Vorsicht vorstellen wachsen Waffe wählen während wahr Wald Wand wandern warm warten waschen wechseln wecken weder Weg weg weich Wein weinen weiß weit weiter welche Welt wenig weniger werfen Wetter wichtig wieder wild Winter wirklich wissen Woche Wochen wohl wohnen Wohnung Wort wünschen Zahl zahlen Zahn zeigen Zeit Zeitung ziehen Ziel ziemlich zuerst zufrieden zuhören zurück zusammen zwischen
Das ist ein Notfall. Seit heute Morgen werden zwei Personen in der Nähe der alten Brücke vermisst.
Wir haben die Zelte am See aufgestellt. Morgen gehen wir beim ersten Licht weiter.
Der Strom ist im Norden der Stadt wieder da, aber die Telefone gehen noch nicht.
Es wäre schön, wenn wir alle wieder ein paar Tage zusammen sein könnten.
Sobald wir mehr wissen, melden wir uns. So schnell wie möglich.
Kannst du mir die Adresse schicken, wo ihr gerade seid?
Garten geben gefährlich gefallen gegen gegenüber gehören gelb Geld gemeinsam gemacht genau genug geschehen Geschenk Geschichte Gesicht gestern gesund gewinnen geworden glauben Glück glücklich groß große großen grün Gruppe günstig Haar halten Hand hängen hart heben heiß heißen helfen hell Hemd Herr Herz heute hier Himmel hinter hoch hoffen hoffentlich holen Holz hören Hose Hotel Hund Hunger ihnen ihre immer innen irgendwie
Das tut mir sehr leid. Wir denken alle an euch.
Hast du meine letzte Nachricht bekommen? Ich habe seit gestern nichts mehr von dir gehört.
Von Westen zieht ein Gewitter auf. Sucht Schutz und haltet euch von den Bäumen fern.
Biegen Sie an der zweiten Ampel links ab und fahren Sie dann geradeaus bis zum Fluss.
Abend aber allein alles alt andere anderen anfangen Angst ankommen anrufen Antwort antworten Anzug Apotheke Arbeit arbeiten arm Arm Arzt auch aufpassen aufstehen Auge Augen ausgehen außen außerdem außerhalb Auto
Wir versuchen es in einer Stunde noch einmal. Wenn ihr bis dahin nichts hört, holt Hilfe.
Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag Januar Februar März April Mai Juni Juli August September Oktober November Dezember
Bitte bestätige, dass du diese Nachricht erhalten hast.
Ich weiß es noch nicht, aber ich glaube schon. Ich frage ihn und sage es dir dann.
Unsere Position ist zwei Kilometer südlich vom Pass, in der Nähe der Hütte.
Wie weit ist es noch und was kostet das ungefähr?
Es ist sehr kalt hier und es schneit schon seit drei Tagen.
An der Quelle gibt es kein Wasser, füllt also eure Flaschen im Tal auf.
Wir sind alle in Sicherheit. Wir bleiben über Nacht hier und gehen morgen früh weiter.
ich habe, ich bin, ich werde, ich kann, ich will, wir haben, wir sind, wir werden, wir können, du hast, du bist, du kannst, sie haben, sie sind, sie ist, er ist, er hat, es ist, es war, es wird, das ist, das war, ist nicht, nicht mehr, nicht so, noch nicht, noch ein, noch eine, auch nicht, gar nicht, nicht nur, immer noch, immer wieder, vor allem, zum Beispiel, zum ersten Mal, ein paar, ein bisschen, ein wenig, so dass, als ob, ohne dass, worden ist, gewesen ist, sein wird, werden kann, haben wir, hat sich, wird es, wurde die, könnte man, müsste ich, sollte das
Wir haben den Gipfel erreicht und machen uns jetzt auf den Rückweg.
Wir sind im Lager und alles ist in Ordnung. Das Wetter ist gut und das Wasser ist sauber.
Bahn bald Bank Bauch bauen Bauer Baum bedeuten beginnen beide bekannt bekommen benutzen Berg besonders besser bestellen bestimmt besuchen Bett bezahlen Bild billig bisher bleiben blau Blume Boden Boot brauchen brechen breit brennen Brief bringen Brot Bruder Buch Büro dabei dafür damals damit danken dann daran darauf darum Decke denken denn deshalb deutsch dick Ding direkt doch Dorf dort draußen drehen dringend drinnen dumm dunkel dünn dürfen Durst
eben Ecke egal eigentlich einfach einige einkaufen einladen einmal einzige Eis Eltern Ende endlich eng entscheiden entweder Erde erklären erst erwarten erzählen essen etwas fahren Fahrrad fallen falsch Familie fangen fast fehlen Fehler Fenster fertig fest Feuer finden Firma Fisch Fleisch fliegen Flugzeug folgen Frage fragen Frau Freund Freunde Freundin freuen froh früher fühlen führen funktionieren Fuß
Der Nebel ist so dicht, dass wir den Weg kaum noch sehen. Wir kehren um.
Die Rettung ist unterwegs zu euch. Bleibt, wo ihr seid, und haltet euch warm.
Das Auto ist auf der Autobahn liegen geblieben und wir warten auf den Abschleppdienst.
Mein Akku ist fast leer, ich mache das Handy jetzt eine Weile aus.
Warum hast du mir das nicht gesagt? Davon wusste ich gar nichts.
Das Krankenhaus hat keinen Sauerstoff mehr. Kann jemand helfen?
Der Lastwagen kommt morgen früh mit zehn Kisten Lebensmitteln und vier Kanistern Diesel.
Alles klar bei euch? Bei uns ist alles ruhig, nichts Neues.
Wann kommst du nach Hause? Soll ich etwas zu essen machen?
Der Zug hat zwanzig Minuten Verspätung. Ich stehe auf Gleis drei.
Du brauchst nichts mitzubringen. Du hattest recht, ich hätte auf dich hören sollen.
Der Hubschrauber kann wegen des Windes nicht landen. Das Team kommt zu Fuß.
Danach sind wir zum See hinunter gegangen und haben etwas gegessen.
Es hat ein bisschen länger gedauert, als wir dachten, aber es hat sich gelohnt.
Bevor du gehst, schau bitte nach, ob alles ausgeschaltet ist.
Wenn ich irgendetwas für dich tun kann, sag einfach Bescheid.
Bitte vergiss nicht, die Tür abzuschließen und das Licht auszumachen.
Ich bin gleich da. Ich bin noch auf der Arbeit und melde mich später.
Ich habe dich lieb und vermisse dich. Gib den Kindern einen Kuss von mir.
Die Lieferung verzögert sich bis nächsten Mittwoch, bis dahin müssen wir mit dem auskommen, was wir haben.
Das Wasser steigt schnell. Alle müssen das Gebiet am Fluss sofort verlassen.
Er hat gesagt, dass er zum Abendessen zurück ist, aber er geht nicht ans Telefon.
Die neue Antenne funktioniert gut, der Knoten ist online und die Batterie ist bei achtzig Prozent.
Soweit ich weiß, hat sich seit letzter Woche nichts geändert.
Das habe ich nicht so gemeint, entschuldige bitte.
Bitte sag den anderen, dass die Sitzung auf Dienstag um zehn verschoben wurde.
Guten Tag, ich wollte fragen, ob bei Ihnen noch ein Zimmer frei ist.
Hast du Lust, am Samstag mit uns zu kommen? Im Auto ist noch Platz.
eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig vierzig fünfzig hundert tausend erste zweite dritte halb viertel
Mein Bruder und seine Frau kommen uns Ende des Monats besuchen.
Die Straße zwischen dem Dorf und dem Tal ist durch umgestürzte Bäume blockiert.
Ich habe die Rechnung heute bezahlt, du kannst mir das Geld später geben.
Ich freue mich schon sehr darauf, euch alle wiederzusehen.
Noch nicht, vielleicht später. Kein Problem. Natürlich, warum nicht? Ja, gerne. Nein, danke. Mir auch. Genau. Stimmt. Na klar. Bis gleich. Bis später. Bis dann.
Wer kommt alles mit? Wie viele Leute sind wir insgesamt?
Alles Gute zum Geburtstag! Ich wünsche dir viel Glück und Gesundheit im neuen Jahr.
Ich würde gerne mitkommen, aber ich muss bis fünf arbeiten.
Liebe Grüße an alle, schönes Wochenende und eine gute Reise!
Die Schule ist als Unterkunft geöffnet, dort gibt es warmes Essen und Betten.
Sie möchte wissen, ob du sie am Freitagabend vom Flughafen abholen kannst.
Wie lange braucht man vom Bahnhof bis zu euch?
Wir müssen einen anderen Weg suchen, weil die Brücke gesperrt ist.
Bitte fahrt vorsichtig, die Straßen sind heute Nacht sehr glatt.
Ich habe den Schlüssel nicht gefunden, er muss irgendwo in der Küche liegen.
Könntest du Brot, Milch, Eier und eine Flasche Wasser mitbringen?
Im Lager werden Medikamente, Decken, Batterien, Treibstoff und Trinkwasser benötigt.
Was meinst du dazu? Passt dir Donnerstag am Nachmittag?
Der Bericht ist fertig, ich schicke ihn dir heute noch zu.
Wegen des Sturms gibt es in fast der ganzen Stadt keinen Strom.
Unser Haus ist das dritte auf der linken Seite, gleich nach der Kirche.
Herzlichen Glückwunsch euch beiden! Frohe Weihnachten und einen guten Rutsch.
Vielen Dank für deine Hilfe, das war wirklich sehr nett von dir.
Ich kann gerade nicht reden, ich bin in einer Besprechung. Ich rufe dich heute Abend an.
Das Haus steht noch, aber im Keller ist Wasser und das Dach muss repariert werden.
Das Kind hat Fieber und starken Husten. Ist ein Arzt in der Nähe?
Wenn du willst, kannst du ein paar Tage bei uns bleiben.
Der Verletzte ist bei Bewusstsein und atmet normal. Die Blutung hat aufgehört.
Ich glaube nicht, dass wir es noch vor der Dunkelheit schaffen.
Es sieht so aus, als ob es den ganzen Tag regnen würde, nimm also eine Jacke mit.
Meine Mutter fragt, ob ihr am Sonntag zum Essen kommen wollt.
Guten Morgen, hast du gut geschlafen? Wir fahren in zehn Minuten los.
Hier sind ungefähr zwanzig Leute, darunter fünf Kinder und eine ältere Frau.
Schick mir deine Koordinaten. Nachricht erhalten. Kann mich jemand hören?
Der Preis ist schon wieder gestiegen, jetzt kostet alles zusammen zwölfhundert.
Danke, das wäre super. Ich sage dir Bescheid, sobald ich mehr weiß.
Wir brauchen Hilfe, eine Person ist verletzt und kann nicht laufen. Wir brauchen so schnell wie möglich einen Arzt.
Ich komme leider etwas später, fangt bitte schon ohne mich an.
Das Feuer hat die Straße überquert und breitet sich nach Norden aus.
Du kannst das Auto neben dem Haus abstellen, der Schlüssel liegt unter der Matte.
Der Laden hat heute zu, ich muss am Samstag auf den Markt gehen.
Um wie viel Uhr treffen wir uns und wo genau?
Das Signal ist hier sehr schwach. Ich versuche es von weiter oben noch einmal.
Es gibt im Moment nichts, was wir dagegen tun könnten.
Oma ist im Krankenhaus, aber die Ärzte sagen, dass es ihr bald besser geht.
Gute Nacht, schlaf gut, bis morgen früh.
Hallo, wie geht es dir? Ich hoffe, bei euch ist alles in Ordnung.
Wir haben genug Essen und Wasser für die nächsten drei Tage.
Wir sind seit heute Morgen unterwegs und alle ziemlich müde.
Kannst du mich bitte zurückrufen, wenn du Zeit hast?
Es war schön, dich gestern zu sehen. Das sollten wir öfter machen.
Wir haben auf der anderen Seite vom Fluss niemanden gesehen.
Ich warte seit mehr als einer Stunde und es ist noch niemand gekommen.
Sie hat sich das Bein verletzt und kann nicht alleine gehen.\
"""
