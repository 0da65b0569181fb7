"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: E501

TEXT = """\
quadro qualche qualcosa qualcuno quale quando quanto quasi quello questa queste questi questo quindi radio ragazza ragazzo ragione raccontare rete ricco ricevere ridere riga rimanere riposo riso rispondere risposta ritornare riuscire roba rompere rosso rumore sale salire salute sangue sapere sbagliato scala scarpa scegliere scendere schiena scorso scrivere scuola scusa secco secondo sedia segno seguire sembrare semplice sempre sentire senza sera serio servire settimana sicuro signora signore silenzio simile soldi sole solito solo sonno sopra sorella sorpresa spalla spesa spesso spiaggia spiegare sporco stagione stanco stanza stare stato stella stesso storia strada strano stretto studiare stupido succedere sud suo suono superare tagliare tanto tardi tavolo tempo tenda tenere terra testa tetto tirare toccare togliere tornare triste troppo trovare tutta tutte tutti tutto ufficio ultimo umano unico uomo uomini usare uscire utile vacanza valigia vecchio vedere vendere venire vento veramente verde vero verso vestito via viaggio vicino vino vita vivere voce volta volte volere vostro vuoto zona zucchero
Vuoi venire con noi sabato? C'è posto in macchina.
Sto arrivando. Sono ancora al lavoro, ti richiamo più tardi.
Potete lasciare la macchina accanto alla casa, le chiavi sono sotto il vaso.
Non credo che riusciremo ad arrivare prima che faccia buio.
Mi puoi mandare l'indirizzo dell'albergo dove siete?
Dove sei adesso? Riesci a vedere la strada da lì?
Ciao, come stai? Spero che da voi vada tutto bene.
Buongiorno, hai dormito bene? Noi partiamo tra dieci minuti.
di, del, della, dello, dell', dei, degli, delle, nel, nella, nell', nei, nelle, sul, sulla, sui, sulle, al, alla, allo, all', ai, agli, alle, dal, dalla, dall', dai, dalle, con il, con la, con i, per il, per la, per i, per le, tra il, quello che, quella che, quelli che, ciò che, tutto quello che, perché, affinché, prima che, dopo che, mentre, anche se, come se
madre mai malato male mandare mangiare mano mani mare marito massimo mattina medico meglio meno mentre mercato mese mesi messo mettere mezzo migliore minuto mio modo moglie molto molti momento mondo montagna morire morte mostrare motivo muovere muro musica nascere naturale nave neanche nemmeno nero nessuno neve niente nome nord nostro notizia notte nulla numero nuovo nuova occhi occhio odore offrire oggi ogni olio ombra opera ora ore ordine orecchio oro ospedale ottimo padre paese pagare palazzo pane paese parlare parola parte partire passare passato passo paura pausa pazienza peccato peggio pensare perdere pericolo però persona persone pesante pesce pezzo piacere piano piatto piccolo piede piedi pieno pietra pioggia piove poco poi polizia porta portare posizione possibile posto potere povero pranzo pratica preferire prendere preparare presto prezzo primo problema pronto proprio prossimo provare pulire punto pure
Riproviamo tra un'ora. Se non avete nostre notizie, chiamate i soccorsi.
La nostra casa è la terza a sinistra, subito dopo la chiesa.
Ho finito la relazione e te la mando oggi pomeriggio.
Se vuoi, puoi restare da noi qualche giorno.
bagno bambina bambino bambini basso bastare bello bene bere bianco bicchiere bisogno bocca borsa bosco braccio bravo breve brutto buono buona cadere caffè calcio caldo cambiare camera camminare campagna cane capelli capire capo carne caro carta caso cattivo cavallo centro cercare certo chiamare chiaro chiedere chilo chissà ciascuno cielo cinema città colore colpa come cominciare comprare comune comunque conoscere consiglio contento conto contro coprire corpo correre corsa cosa cose così costa costare credere cuore cucina
gatto genitori gente già giardino giocare gioco giornale giornata giorno giorni giovane girare giro giusto governo grande grazie grosso gruppo guardare guerra guidare ieri immaginare imparare importante incontrare indietro infatti informazione inizio insieme insomma intanto interessante invece inverno io isola lago largo lasciare lato latte lavare lavoro leggere leggero lento lettera letto libero libro lingua loro lontano luce lui luna lungo luogo
Stiamo camminando da stamattina presto e siamo tutti molto stanchi.
Per favore, state attenti, la strada è molto scivolosa stanotte.
La nuova antenna funziona bene, il nodo è in linea e la batteria è all'ottanta per cento.
Chi ha la chiave del magazzino? Devo prendere gli attrezzi.
Abbiamo bisogno di aiuto, una persona è ferita e non può camminare. Serve un medico il più presto possibile.
Non c'è acqua alla fonte, riempite le borracce prima di lasciare la valle.
Mandami le tue coordinate. Messaggio ricevuto. Prova, prova, qualcuno mi sente?
La nebbia è così fitta che quasi non si vede il sentiero. Torniamo indietro.
A che ora ci vediamo e in che posto?
dare davvero debole decidere dentro desiderare destra dire diritto diverso diventare domanda domani donna dopo dormire dove dovere dubbio durante duro ecco entrare errore esempio essere estate età euro evitare fabbrica faccia facile fame famiglia fare fatto favore felice fermare festa figlia figlio film finalmente fine finestra finire fino fiore fiume foglia forse forte forza foto freddo fresco fretta fronte frutta fuoco fuori
Siamo al campo e va tutto bene. Il tempo è bello e l'acqua è pulita.
Il camion arriva domani mattina con dieci casse di viveri e quattro taniche di gasolio.
Sono per strada, arrivo tra mezz'ora più o meno.
Tutto bene da voi? Qui è tutto tranquillo, niente di nuovo.
Quando torni a casa? Vuoi che ti prepari qualcosa da mangiare?
Ho dimenticato il telefono in ufficio, quindi scrivimi qui.
abbastanza abitare accadere accanto accendere acqua adesso aereo aiutare albero alcuni allora alto altra altre altri altro alzare amico amici amore anche ancora andare andato angolo animale anno anni aperto appena aprire aria arrivare ascoltare aspettare attenzione attraverso auto avanti avere
Sono in ritardo, mi dispiace. Cominciate pure senza di me.
Ciao a tutti, siamo arrivati e stiamo tutti bene. Domani vi racconto.
Perché non me l'hai detto prima? Non ne sapevo niente.
Grazie, sarebbe perfetto. Ti faccio sapere appena ne so di più.
Sta arrivando una grossa tempesta da ovest. Cercate un riparo.
Siamo una ventina di persone, tra cui cinque bambini e una donna anziana.
Ha detto che sarebbe tornato in tempo per la cena, ma non risponde al telefono.
Lei vuole sapere se puoi andare a prenderla all'aeroporto venerdì sera.
L'elicottero non può atterrare a causa del vento. La squadra arriva a piedi.
La macchina si è rotta in autostrada e stiamo aspettando il carro attrezzi.
Fa molto freddo qui e nevica da tre giorni.
Dopo siamo scesi al fiume e abbiamo mangiato qualcosa.
Appena sappiamo qualcosa di più vi avvisiamo. Il prima possibile.
Hai ricevuto il mio ultimo messaggio? Non ti sento da ieri.
non è, non è stato, è stato, è stata, sono stati, era stato, c'è, ci sono, c'era, non c'è, ho fatto, ho visto, ha fatto, hanno fatto, abbiamo fatto, siamo stati, che non, che è, che il, che la, che si, che ho, che hai, che ha, e il, e la, si può, si deve, ci vuole, un po' di, un po' più, per esempio, allo stesso tempo, a volte, di solito, di nuovo, per fortuna, in modo che, in ogni caso, sempre più, più di, meno di, vicino a, lontano da, dentro, sopra, sotto, davanti a, dietro, intorno a, qualche volta, ogni giorno, uno dei, una delle
La consegna è rimandata a mercoledì prossimo, dovremo arrangiarci con quello che c'è.
La bambina ha la febbre e molta tosse. C'è un dottore qui vicino?
Ho pagato la bolletta stamattina, mi ridai i soldi quando puoi.
Tanti auguri di buon compleanno! Ti auguro tutto il meglio. Buon Natale e felice anno nuovo.
Non mi sento molto bene oggi, preferisco restare a casa.
Se posso fare qualcosa per voi, basta che me lo diciate.
Servono medicine, coperte, pile, carburante e acqua potabile al rifugio.
Per quanto ne so, non è cambiato niente dalla settimana scorsa.
Mi piacerebbe venire, ma devo lavorare fino alle cinque.
Non ancora, forse più tardi. Nessun problema. Certo, perché no? Sì, volentieri. No, grazie. Anch'io. D'accordo. Va bene. Benissimo. A dopo. A presto. Ci sentiamo. Buona giornata. Buon viaggio. Buon appetito.
Non dimenticare di chiudere la porta a chiave e di spegnere la luce.
lunedì martedì mercoledì giovedì venerdì sabato domenica gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
Quanto costa e quanto è lontano da qui?
Siamo tutti al sicuro. Passiamo la notte qui e ripartiamo domani mattina.
C'era molta gente in piazza e non siamo riusciti a parcheggiare.
Puoi portare del pane, del latte, le uova e una bottiglia d'acqua?
L'incendio ha attraversato la strada e avanza verso nord.
Bisogna partire prima delle sei per non trovare traffico.
Ti amo e mi manchi tanto. Dai un bacio ai bambini da parte mia.
Il ferito è cosciente e respira normalmente. Non sanguina più.
Chi viene con noi? In quanti siamo in tutto?
Il segnale è molto debole qui. Riprovo da un punto più alto.
È una buona idea. Per me va bene, facciamo così. Avevi ragione tu.
Non posso parlare adesso, sono in riunione. Ti chiamo stasera.
Mio fratello e sua moglie vengono a trovarci alla fine del mese.
Non lo so ancora, ma credo di sì. Glielo chiedo e poi te lo dico.
La nostra posizione è due chilometri a sud del passo, vicino al rifugio.
Dobbiamo cercare un'altra strada, perché il ponte è chiuso.
È tornata la corrente nella parte nord della città, ma i telefoni non funzionano ancora.
Non mi ricordo come si chiama, ma l'ho già visto qualche volta.
uno due tre quattro cinque sei sette otto nove dieci undici dodici quindici venti trenta quaranta cinquanta cento mille primo secondo terzo mezzo
Non vedo l'ora di rivedervi tutti. Sono contento che tu stia meglio.
Si è fatta male alla gamba e non può camminare da sola.
La casa è ancora in piedi, ma c'è acqua in cantina e il tetto è da riparare.
L'ospedale ha finito l'ossigeno. Qualcuno può aiutare?
Grazie mille per il tuo aiuto, sei stato davvero gentile.
Che cosa ne pensi? Ti va bene giovedì pomeriggio?
Abbiamo raggiunto la cima e adesso cominciamo a scendere.
I soccorsi stanno arrivando. Restate dove siete e tenetevi al caldo.
Il livello dell'acqua sta salendo in fretta. Tutti devono lasciare subito la zona.
Gira a sinistra al secondo semaforo e poi vai sempre dritto fino al fiume.
Mia madre chiede se volete venire a pranzo domenica.
Il negozio oggi è chiuso, devo andare al mercato sabato.
Questa è un'emergenza. Due persone sono disperse da stamattina vicino al vecchio ponte.
La mia batteria è quasi scarica, spengo il telefono per un po'.
Congratulazioni a tutti e due, che bella notizia! Un abbraccio forte a tutta la famiglia.
Il treno ha venti minuti di ritardo. Sono al binario tre.
Il prezzo è aumentato di nuovo, adesso sono milleduecento per tutto.
Di' agli altri che la riunione è stata spostata a martedì alle dieci.
La nonna è in ospedale, ma i medici dicono che starà bene.
Per favore, conferma di aver ricevuto questo messaggio.
Non importa, lo facciamo un'altra volta. Non ti preoccupare.
Sembra che oggi pioverà tutto il giorno, quindi prendi una giacca.
Abbiamo montato le tende vicino al lago. Domani partiamo alle prime luci.
A causa del temporale manca la corrente in quasi tutta la città.
Buonasera, volevo sapere se avete ancora una camera libera per il fine settimana.
Va tutto bene? Hai bisogno di aiuto? Fatti sentire appena puoi.
La scuola è aperta e si può mangiare qualcosa di caldo e dormire.
La strada tra il paese e la valle è bloccata da alberi caduti.
Buonanotte, dormi bene, a domani mattina.
Hanno detto che sarebbero arrivati alle otto, ma non c'è ancora nessuno.
Abbiamo cibo e acqua a sufficienza per i prossimi tre giorni.
Non ho trovato la chiave, deve essere da qualche parte in cucina.
Adesso devo andare, ci vediamo presto. Stammi bene!
Prima di uscire controlla che sia tutto spento.
I bambini si sono divertiti molto al mare e hanno dormito in macchina.
Mi puoi richiamare quando hai un attimo, per favore?
Quanto tempo ci vuole dalla stazione fino a casa vostra?
Aspetto da più di un'ora e non è ancora venuto nessuno.
Non c'è niente che possiamo fare in questo momento.\
"""
