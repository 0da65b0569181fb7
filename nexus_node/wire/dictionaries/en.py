"""Preset dictionary: wire law, never edit (CC0). See packaging/dictionary/make_dictionary.py."""

# ruff: noqa: E501

TEXT = """\
with the, from the, for the, to the, at the, by the, on the, and the, of the, in the, into the, about the, over the, after the, through the
umbrella uncle under understand unit university unless until unusual upset upstairs useful usual usually vacation valley value van various vegetable vehicle very victim view village visit voice volunteer vote
pack page pain paint pair paper parent park party pass passenger passport past patient pattern pause pay peace pencil people pepper perfect perhaps period permission person phone photo pick picture piece pilot pipe place plan plane plant plastic plate play please plenty pocket point police polite poor popular position possible post potato pound power practice prefer prepare present president press pressure pretty prevent price print prison private probably problem process produce program promise proper protect proud prove provide public pull purpose push put
machine magazine main make manage manager many map mark market married matter maybe meal mean measure meat medicine meet member memory mention message metal middle might mile milk mind minute mirror miss mistake mix mobile model modern moment money month mood moon more mountain mouse mouth move movie much mud music must myself
job join joke journey judge juice jump just keep kept key kick kill kind king kitchen knee knew knife knock know knowledge known
Why didn't you tell me? I had no idea that it was so late.
Who is going to be there? How many people are coming?
Where are you right now? Can you see the road from there?
When will you be back home? Do you want me to cook something?
What's up? Not much, just at home. What about you?
What do you think about it? Let me know if you have any questions.
We're all safe and sound. We will stay here for the night and go on in the morning.
We should have enough food and water for the next three days.
We are at the camp and everything is fine. The weather is good and the water is clear.
They said that they would be here by now, but they are still not here.
There are still some of us who have not been able to get out of the city.
The trail is in good condition, but there is still some snow above two thousand metres.
The radio on the roof is working again. I changed the antenna and the range is much better.
The house is still standing, but there is water in the basement and the roof needs repair.
Please confirm that you have received this message.
Please be careful, the road is very icy tonight.
One of the children has a fever and a bad cough. Is there a doctor nearby?
Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August September October November December
Let me check and get back to you in a minute.
If there is anything I can do for you, just let me know.
I'm running late, sorry about that. Please start without me.
I'm afraid that won't be possible, but thank you for asking.
I was going to tell you, but then I forgot about it.
I don't want to, I would have been, I should have, I could have, you don't need to, we are going to, they have been, there has been a
I don't know yet, but I think so. I will ask him and tell you later.
I am going to restart the server this afternoon, so the network will be down for a few minutes.
Hello, how are you doing today? I hope you are well.
Have you been to the new place? It was really good the last time we went.
Could you please call me back when you get this message?
A big storm is coming in from the west. Find shelter and stay away from the trees.
table tail take talk tall tank tape taste taught teach teacher team tear technical telephone television tell temperature tent terrible test text than thank theatre themselves thick thin thing think thirsty though thought thread threat throat through throw ticket tight time tiny tire tired together toilet told tomorrow tonight tool tooth top total touch tough tour towel tower town track trade traffic train travel treat tree trip trouble truck true trust truth turn twice type
hair hall hammer hand handle hang happen happy hard hardly head health hear heard heart heat heavy height held help here herself high hill himself history hit hold hole holiday honest hope horse hospital hotel hour however huge human hungry hurry hurt
ladder lady land language large last late laugh law lay lead leader leaf learn least leather lend length lesson letter level library lie life lift light like likely limit line list listen little live load local lock lonely look loose lose lost loud love low luck lucky luggage lunch
face fact fail fair fall famous farm fast father favourite fear feel feeling feet fence few field fight figure file fill film final finally find fine finger finish fish fix flat flight flood floor flower fly follow foot force foreign forest forget form forward found free fresh friendly front frozen fruit full funny furniture further future
each early earth easily easy edge education effect either electric electricity elevator else email empty engine enjoy enough entire equipment escape especially even event ever every everyone everything exactly exam example except exchange excited excuse expect expensive experience explain extra extremely
garage garden gather gave general gentle gift glad glass goes gold gone government grass great green grey ground group grow guard guess guest guide gun
There was a lot of traffic on the way, and one of the roads was closed.
Grandma is in the hospital, but the doctors say that she will be fine.
The fire has crossed the main road and is moving towards the north.
The dog ran away this morning. If you see him, please let us know.
Ok, I will be there in half an hour. Don't wait for me.
I'm on my way, I should be there around six o'clock.
balance bank bar basic bathroom battery beautiful become bedroom beer begin behind believe bicycle bird birthday black blood blue board boat body book born borrow both bottle bottom bought brake break breakfast bridge bright bring broken brought brown brush build building burn bus business busy butter button
narrow nation national nature near nearly necessary neck needle neighbour neither nervous never news newspaper next nice nobody noise none normal nose note nothing notice number nurse
This is an emergency. Two people are missing since this morning near the old bridge.
ice idea ignore imagine important impossible improve include increase indeed inform information injury insect inside install instead insurance interest interesting internet invite island issue itself
My name is Maria and I am writing to you about the room that you have for rent.
I think I left my bag in your car. Could you take a look when you get a chance?
I've been waiting for them for more than an hour and nothing has happened.
That is not what I meant, I'm sorry if it came across the wrong way.
one of the, most of the, some of the, part of the, because of the, out of the, in front of the, on top of the, next to the, close to the
The meeting went well. They agreed to most of what we asked for, and we will get an answer next week.
We have reached the summit. We are starting our way back down now.
Tell him I said hello and that I will see him on the weekend.
Try to get some sleep, tomorrow is going to be a long day.
It looks like it is going to rain all day, so take your jacket with you.
Dinner is ready, where are you guys? We are going to start eating now.
It doesn't matter, we will do it another time.
sad safe safety said sail salad salt same sand save saw scared school science score screen sea search season seat second secret section secure seem sell send sense sent separate series serious serve service set several severe shake shape share sharp sheet shelf ship shirt shock shoe shop short should shoulder shout show shower shut sick side sign signal silence silver similar simple since sing single sit situation size skill skin sky sleep slight slip slow small smart smell smile smoke smooth snow soap social soft soil soldier solve somebody someone something sometimes somewhere song soon sort sound space spare speak special speed spend spoke sport spread spring square stage stairs stand star start state station stay steal steel step stick still stomach stone stop storage store storm story stove straight strange stranger stream street strength stress strong student study stuff stupid success such sudden suddenly sugar suggest suit summer sun supply support suppose sure surface surprise sweet swim switch system
Be back by ten. Call me when you get there. Text me when you are home. Let me know. I'll be right there.
If you want to, you can stay with us for a couple of days.
Please tell the others that the meeting has been moved to Tuesday at ten.
We have loaded everything. Total is fifteen boxes, three of them marked fragile.
ocean offer office officer often oil okay old once online only open operation opinion opposite option orange order ordinary organize original other otherwise ought owner oxygen
I love you and miss you so much. Give my love to the children.
Please don't forget to lock the door and turn off the lights.
Good night, sleep well, talk to you tomorrow.
will be, would be, could be, should be, must be, has been, have been, had been, might be, may have, can not, is not, are not, was the
Message received. Copy that. Over and out. Stand by. Roger, will do.
Yes, please. No, thank you. Me too. So do I. I hope so. Very good, see you then.
Testing, testing, one two three. Does anybody copy? Please reply on channel two.
wait walk wall want warm warning wash waste watch water wave weak wear weather wedding week weekend weight welcome wet wheel whether which while white whole whose wide wild willing win wind window wine winter wire wish wonder wonderful wood word work worker world worried worry worse worst worth wound write written wrong wrote yard year yellow yesterday yet young yourself
Is everything all right? Are you okay? Do you need any help?
This is the best thing that has happened to me this year.
There is no water at the spring, so fill up your bottles before you leave the valley.
ability accept accident account across action actually address afraid against agree airport allow almost alone already although always amazing ambulance among angry animal another answer anymore anyone anything anyway apartment apple area argue arm around arrange arrive asked attack attention available avoid
The car broke down on the highway and we are waiting for someone to tow us.
cabin call camera cancel candle captain careful carry case catch caught cause ceiling celebrate center certain chain chair chance change charge cheap check cheese chicken child chocolate choose church cigarette city class clean clear climb clock close clothes cloud coast coat coffee cold college colour command common company compass complete computer concert concern condition consider contact continue control cook cool corner correct cost count country course cover crazy cream create creek cross crowd current customer
in the morning, in the afternoon, in the evening, at night, at the end of the day, on the other hand, at the same time, as well as
The solar panel gives enough power to run the repeater day and night.
He has already left the office. He told me to ask you about the meeting on Monday.
it is not, it was not, that it is, that there is, which is why, this is what, what we have, when I was, where the, while the, who have
Did you feed the cat? Yes, I did, and I took out the garbage too.
It has been a long time since we last talked. How have you been?
The helicopter cannot land because of the wind. We are sending a team on foot.
The water level is rising fast. Everybody must leave the area near the river immediately.
Watch out for the dogs on the farm. Keep to the right and stay on the path.
Is anyone able to drive to the hospital? We have one patient who needs treatment.
We will try again in an hour. If you don't hear from us by then, call for help.
Because of the storm there is no power in most of the town.
If we don't get the part by tomorrow, the generator will not run.
They want to know whether or not we need anything else from the shop.
daily damage dance danger dangerous dark date dead deal dear death decide decision deep deliver depend describe desk detail different difficult dinner direct direction dirty discover discuss distance document door double doubt dozen draw dream dress drink drive driver drop drove dust
The truck will arrive tomorrow morning with ten boxes of food and four cans of diesel.
Never mind, I found it. Sounds good to me. All good here, and you?
Hi there, it's me. I just wanted to let you know that I arrived safely.
I'm glad to hear that. I'm looking forward to seeing you again.
The food was excellent and the people were very friendly.
I have to go now, see you soon. Take care of yourself!
I paid the bill this morning. You can give me the money back whenever you like.
I don't think that we can make it before dark.
What are you doing tonight? Do you want to go out and see a movie?
Who has the key to the storage room? I need to get the tools out.
It's a bit too far for me, maybe we could take the bus instead.
As soon as we know more, we will let you know.
Do you have any idea what happened? Nobody told me anything.
Congratulations to both of you, this is wonderful news!
Have a nice day. Have a good trip. Have fun, and get some rest.
What is your current position? Please send your coordinates.
The node is online, the signal strength is good and the battery is at eighty percent.
We have been walking since early this morning and we are all very tired.
You were right about that. I should have listened to you.
The children had a great time at the beach, and they slept all the way home in the car.
zero one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred thousand million first second third half quarter
The connection is slow today. I will send you the pictures when I have a better link.
All of our people are accounted for. No further help is needed at this time.
We need medical supplies, blankets, batteries, fuel and drinking water at the shelter.
I'm at the train station, platform three. The train is twenty minutes late.
I just got off the bus, I'll be home in five minutes.
The delivery has been delayed until next Wednesday. We'll have to make do with what we have.
I would like to, but I have to work until five.
I couldn't find it anywhere. It must be somewhere in the kitchen.
You should be able to see it from the top of the hill.
mother father sister brother son daughter uncle aunt cousin husband wife friend friends grandfather grandmother parents kids family baby boy girl man woman men women
She says she is fine, but her leg hurts and she cannot walk without help.
quality question quick quickly quiet quite rabbit race radio railway rain raise range rather reach react read ready real realize really reason receive recent recently recognize record red reduce refuse regular relative relax release remain remember remind remove repair repeat reply report request rescue reserve respect responsible rest restaurant result return rice rich ride ring rise risk river road rock roof room rope rough round route rubbish rule run rush
Our house is the third one on the left, right after the church.
The injured man is conscious and breathing normally. The bleeding has stopped.
The fog is so thick that we can hardly see the path. We're turning back.
The hospital has run out of insulin and oxygen. Can anyone help?
The rescue team is on its way to your location. Stay where you are and keep warm.
Happy birthday! I wish you all the best and hope to see you soon.
Can you send me the address of the place where you are staying?
It took us two hours to get through the forest, but the view was worth it.
The baby was born this morning at four. Both mother and child are doing well.
Sorry I missed your call, my phone was on silent.
The wind is strong and the temperature is below zero, but we have enough warm clothes.
The earthquake has damaged several buildings, but most of the people got out in time.
Merry Christmas and a happy new year to you and your family!
How many blankets do you have left? We could use another fifty.
After that we went down to the lake and had something to eat.
She wants to know if you could pick her up at the airport on Friday evening.
I made some soup for you, it's in the fridge. Just heat it up when you are hungry.
The shop is closed today, so I'll have to go to the market on Saturday.
The road between the village and the valley is blocked by fallen trees.
How much does it cost and how far away is it?
He said he would be back in time for dinner, but he is not answering his phone.
We didn't see anybody on the other side of the river.
Which one of them do you want me to bring?
The price went up again, it is now twelve hundred for the whole thing.
I twisted my ankle on the way down, so it will take us a little longer than we thought.
You can leave the car next to the house, the keys are under the mat.
The driver is waiting at the gate. Please sign the papers and let him in.
Not yet, maybe later. No problem at all. Of course, why not?
Please check the cable and the connector first, and then replace the fuse.
Let's meet at the usual place at half past seven.
My brother and his wife are coming to visit us at the end of the month.
I'm so sorry for your loss. We are all thinking of you.
Before you go, make sure that everything is switched off.
Did you get my last message? I haven't heard from you since yesterday.
Do you remember the name of the man that we met on the train last summer?
Our position is two kilometres south of the pass, close to the hut.
I'd rather stay at home because I am not feeling very well today.
We have set up camp by the lake, and the tents are dry. Tomorrow we'll start at first light.
Can you bring some bread, milk, eggs and a bottle of water from the store?
It would be nice if we could all be together again for a few days.
Send help, one person is injured and cannot walk. We need a doctor as soon as possible.
I can't talk right now, I'm in a meeting. I'll call you later tonight.
north south east west left right up down above below behind between inside outside across along around against during without within toward near far
Would you like to come with us this weekend? There is enough room in the car.
The shelter at the school is open. You can get hot food and a place to sleep there.
Turn left at the second traffic light, then go straight on until you get to the river.
Thank you very much for your help, I really appreciate it.
That's fine with me. That sounds good, let's do that.
There are about twenty people here, including five children and an elderly woman.
His condition is stable, but he needs to get to a hospital within the next few hours.
You won't believe what just happened to us on the way to work.
As far as I know, nothing has changed since last week.
My battery is almost empty, so I am going to turn off the phone for a while.
Can you hear me? The signal is weak here. I will try again from higher ground.
Please have a look at the document and tell me what you think of it.
Good morning everyone, we are leaving in about ten minutes.
Your package has arrived, it is with the neighbours.
You don't have to bring anything, just come as you are.
I'm not sure if this is the right way. Let me ask somebody.
Thanks, that would be great. I will let you know as soon as I can.
Those of you who want to help tomorrow, please come to the town hall at eight.
We need to find another way, because the bridge is out and the road is blocked.
How long will it take to get there from the station?
What time are we going to meet, and where?
It's very cold here and it has been snowing for three days.
It was great to see you last night. We should do this more often.
The power is back on in the northern part of the town, but the phones are still down.
I have finished the report and will send it over to you later today.
There is nothing we can do about it at the moment.\
"""
